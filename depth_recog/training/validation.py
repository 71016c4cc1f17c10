# SPDX-License-Identifier: Apache-2.0
"""Judges a network on frames that are held out: against the truth, or by what needs none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import DepthTally, Groups
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.pictures import captioned, depth_colors
from depth_recog.training.batches import Batch, Samples
from depth_recog.training.config import Loss
from depth_recog.training.flatness import road_height, spread
from depth_recog.training.learner import Learner, Prediction
from depth_recog.training.objective import compare_batch
from depth_recog.training.prepared import Prepared

PROTOCOL = Protocol("garg", 80.0)


@dataclass(frozen=True)
class Judged:
    """What came out.

    Attributes:
        figures: by name.
        criterion: which of them decides; less is better.
    """

    figures: dict[str, float]
    criterion: str

    @property
    def decisive(self) -> float:
        """The figure that decides."""
        return self.figures[self.criterion]


class Examiner:
    """Holds what is held out.

    Args:
        recordings: held-out frames.
        samples: those of them that have neighbours, all dynamic positions left out.
        most: at most so many frames, evenly spread.
        metric: the depth shall be in metres: it is judged unscaled.
        weights: of the loss.
    """

    def __init__(
        self, recordings: list[Prepared], samples: Samples, most: int, metric: bool, weights: Loss
    ) -> None:
        every = [(frames, i) for frames in recordings for i in range(len(frames))]
        self._chosen = [every[i] for i in _spread(len(every), most)]
        self._samples = samples
        self._pairs = _spread(len(samples), most)
        self._kind = "unscaled" if metric else "median_scaled"
        self._weights = weights

    @torch.inference_mode()
    def judge(self, learner: Learner, device: torch.device) -> Judged:
        """Judge a network.

        Args:
            learner: in the state to be judged.
            device: where it lives.
        """
        tally = DepthTally(PROTOCOL)
        heights = []
        for frames, index in self._chosen:
            depth = self._depth(learner, frames, index, device)
            if frames.depths is not None:
                truth = np.asarray(frames.depths[index])
                use = PROTOCOL.judged(truth)
                if use.any():
                    values = truth[use].astype(np.float64)
                    answers = depth[use].astype(np.float64)
                    tally.add(frames.names[index], answers, values, Groups(values, None, None))
            camera = Camera.from_matrix(frames.intrinsics[index], *frames.size)
            height = road_height(depth, np.asarray(frames.labels[index]), camera)
            if height is not None:
                heights.append(height)
        figures: dict[str, float] = {}
        if tally.images:
            result = tally.result()
            figures = {
                "abs_rel": result["unscaled"]["abs_rel"],
                "abs_rel_median_scaled": result["median_scaled"]["abs_rel"],
                "a1_median_scaled": result["median_scaled"]["a1"],
                "scale_median": result["scale"]["median"],
                "scale_spread": result["scale"]["spread"],
            }
        errors = [self._photometric(learner, n, device) for n in self._pairs]
        if errors:
            figures["photometric"] = float(np.mean(errors))
        if len(heights) >= 3:
            figures["road_height"] = float(np.median(heights))
            figures["road_spread"] = spread(heights)
        scaled = "abs_rel" if self._kind == "unscaled" else "abs_rel_median_scaled"
        return Judged(figures, scaled if tally.images else "photometric")

    @property
    def possible(self) -> bool:
        """Whether there is anything to judge by."""
        return bool(self._pairs) or any(frames.depths is not None for frames, _ in self._chosen)

    def _depth(
        self, learner: Learner, frames: Prepared, index: int, device: torch.device
    ) -> NDArray[np.float32]:
        image = torch.from_numpy(np.array(frames.images[index])).to(device)
        focal = torch.tensor([frames.intrinsics[index][1, 1]], device=device).float()
        answer = learner.depth(image.permute(2, 0, 1)[None].float() / 255, focal)
        return np.asarray(answer[0, 0].float().cpu().numpy(), np.float32)

    def _photometric(self, learner: Learner, index: int, device: torch.device) -> float:
        """Without auto-masking: a network must not choose by which pixels it is judged."""
        batch = self._samples.still(index).to(device)
        compared = compare_batch(batch, predict(learner, batch), self._weights)
        mean, _ = masked_mean(compared.error[0], compared.seen[0])
        return float(mean[0])

    @torch.inference_mode()
    def picture(self, learner: Learner, device: torch.device) -> NDArray[np.uint8] | None:
        """A held-out frame, its depth, its photometric error and what is left out; (H, 4 W, 3)."""
        if not self._pairs:
            return None
        batch = self._samples.still(self._pairs[len(self._pairs) // 2]).to(device)
        predicted = predict(learner, batch)
        compared = compare_batch(batch, predicted, self._weights)
        image = batch.frames[0, 0].permute(1, 2, 0).cpu().numpy()
        depth = (1 / predicted.inverses[0][0, 0].float()).cpu().numpy()
        error = compared.error[0, 0, 0].float().cpu().numpy()
        grey = np.clip(error * 255 * 2, 0, 255).astype(np.uint8)
        seen, valid = (m[0, 0, 0].cpu().numpy() for m in (compared.seen, compared.valid))
        mask = np.full((*seen.shape, 3), 40, np.uint8)
        mask[seen] = (120, 120, 200)
        mask[valid] = (90, 200, 90)
        pictures = {
            "image": image,
            "depth": depth_colors(depth),
            "error": np.repeat(grey[..., None], 3, -1),
            "green: compared": mask,
        }
        row = [captioned(np.ascontiguousarray(p), text) for text, p in pictures.items()]
        return np.concatenate(row, 1)


def predict(learner: Learner, batch: Batch) -> Prediction:
    """What a learner says of a batch without changes of colour."""
    image = (batch.frames[:, 0].float() / 255).contiguous(memory_format=torch.channels_last)
    plain = batch.plain.float() / 255 if batch.plain.numel() else None
    predicted: Prediction = learner(image, batch.intrinsics[:, 1, 1], plain)
    return predicted


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` numbers, evenly spread."""
    if not count:
        return []
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})
