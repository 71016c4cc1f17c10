# SPDX-License-Identifier: Apache-2.0
"""Depth training as a task of the loop: the loss of a batch, and validation on held-out frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.errors import TrainingError
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import DepthTally, Groups
from depth_recog.method.gate.ground import fit_plane
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.pose.refinement import robust_std
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.pictures import captioned, depth_colors
from depth_recog.training.config import LossWeights
from depth_recog.training.data.augmentation import coloured
from depth_recog.training.data.batches import TripletBatch, TripletDataset
from depth_recog.training.data.covers import covered
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.depth.contact import ROAD
from depth_recog.training.depth.deviation import Calibration, Doubt, deviation_loss
from depth_recog.training.depth.model import DepthModel, Prediction
from depth_recog.training.depth.objective import compare_batch, objective
from depth_recog.training.loop.trainer import Mean, ValidationResult

PROTOCOL = Protocol("garg", 80.0)


class Opinion(NamedTuple):
    """What is known of a depth network without truth.

    Attributes:
        triangulation: disagreement with triangulated points; None if too few can be triangulated.
        worse: what became worse than the initial weights; "" if nothing did.
    """

    triangulation: float | None
    worse: str


Referee = Callable[[nn.Module], Opinion]


class HeldOutFrames:
    """The frames and triplets that validation uses.

    Args:
        recordings: held-out frames.
        triplets: those of them that have neighbours, all dynamic pixels excluded.
        most: use at most so many frames and triplets, evenly spaced.
    """

    def __init__(
        self, recordings: list[PreparedFrames], triplets: TripletDataset, most: int
    ) -> None:
        every = [(frames, i) for frames in recordings for i in range(len(frames))]
        self.frames = [every[i] for i in evenly_spaced(len(every), most)]
        self.triplets = triplets
        self.chosen_triplets = evenly_spaced(len(triplets), most)

    @property
    def usable(self) -> bool:
        """Whether there is a triplet or a frame with true depth."""
        return bool(self.chosen_triplets) or any(f.depths is not None for f, _ in self.frames)


class DepthTask:
    """Trains a depth network, and a pose network where motion is not recorded.

    Args:
        model: before any step.
        weights: of the parts of the loss.
        held_out: frames for validation.
        metric: whether the depth is to be in metres: it is then validated without scaling.
        referee: judges where there is no truth.
        alone: whether the head for the standard deviation is trained alone, and judged.
    """

    def __init__(
        self,
        model: DepthModel,
        weights: LossWeights,
        held_out: HeldOutFrames,
        metric: bool,
        referee: Referee | None = None,
        alone: bool = False,
    ) -> None:
        self.model = model
        self._alone, self._metric = alone, metric
        self._referee = referee
        self._weights, self._held_out = weights, held_out
        self._criterion = "abs_rel" if metric else "abs_rel_median_scaled"

    def encoder_parameters(self) -> list[nn.Parameter]:
        """See `TrainingTask`."""
        return self.model.encoder_parameters()

    def losses(self, network: nn.Module, batch: TripletBatch, mean: Mean) -> dict[str, Tensor]:
        """See `TrainingTask`."""
        image = coloured(batch.frames[:, 0].float() / 255, batch.colours)
        if not self.model.teaches_deviation:
            terms, _ = objective(batch, predict(network, batch, image), self._weights, mean)
            return terms._asdict()
        hiding, hidden = covered(image, batch.covers)
        predicted = predict(network, batch, image, hiding)
        assert predicted.doubt is not None
        deviation = deviation_loss(Doubt(*predicted.doubt), batch, hidden, mean)
        if self._alone:
            return {"total": deviation}
        deviation = self._weights.deviation * deviation
        terms, _ = objective(batch, predicted, self._weights, mean)
        return terms._asdict() | {"deviation": deviation, "total": terms.total + deviation}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> ValidationResult:
        """Compare with true depth where it is known, and compute what needs no truth.

        Figures without truth: the photometric error, and the height of the camera above the road
        with its spread. The height is constant, so its changes are errors of the depth.
        """
        depth_model = cast(DepthModel, model)
        tally, calibration = DepthTally(PROTOCOL), Calibration()
        heights = []
        for frames, index in self._held_out.frames:
            depth, std = _depth(depth_model, frames, index, device)
            if frames.depths is not None:
                truth = np.asarray(frames.depths[index])
                use = PROTOCOL.judged(truth)
                if use.any():
                    values = truth[use].astype(np.float64)
                    answers = depth[use].astype(np.float64)
                    tally.add(frames.names[index], answers, values, Groups(values, None, None))
                    if std is not None:
                        calibration.add_image(depth, truth, std, use)
            camera = Camera.from_matrix(frames.intrinsics[index], *frames.size)
            road = fit_plane(depth, np.asarray(frames.labels[index]) == ROAD, camera)
            if road is not None:
                heights.append(road.distance)
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
        if self._alone:
            return self._judged_deviation(figures, calibration)
        figures |= calibration.figures
        errors = [self._photometric(depth_model, n, device) for n in self._held_out.chosen_triplets]
        compared = [error for error in errors if error is not None]
        if compared:
            figures["photometric"] = float(np.mean(compared))
        if len(heights) >= 3:
            figures["road_height"] = float(np.median(heights))
            figures["road_spread"] = robust_std(np.log(heights))
        if tally.images:
            return ValidationResult(figures, self._criterion)
        # The photometric error alone is no judge: it falls while the road sinks.
        opinion = self._referee(depth_model.depth) if self._referee else Opinion(None, "")
        if opinion.triangulation is None:
            if not compared:
                raise TrainingError(
                    "the held-out frames can be judged by nothing: they have no true depth, too "
                    "few points can be triangulated, and their motion is unknown; name others with "
                    "--validate, or use motion 'auto'"
                )
            return ValidationResult(figures, "photometric", opinion.worse)
        figures["triangulation"] = opinion.triangulation
        return ValidationResult(figures, "triangulation", opinion.worse)

    def _judged_deviation(
        self, figures: dict[str, float], calibration: Calibration
    ) -> ValidationResult:
        figures = {name: figures[name] for name in ("abs_rel",) if name in figures}
        if not calibration.figures:
            raise TrainingError(
                "the standard deviation is judged by true depth, and the held-out frames have "
                "none: name others with --validate"
            )
        return ValidationResult(figures | calibration.figures, "deviation")

    @torch.inference_mode()
    def calibrate(self, model: nn.Module, device: torch.device) -> float:
        """Multiply the deviations so that 68 % of the errors in held-out frames lie within one.

        Returns:
            The factor, which is now in the bias of the head; 1 without true depth.
        """
        depth_model, calibration = cast(DepthModel, model), Calibration()
        for frames, index in self._held_out.frames:
            truth = None if frames.depths is None else np.asarray(frames.depths[index])
            if truth is None or not (use := PROTOCOL.judged(truth)).any():
                continue
            depth, std = _depth(depth_model, frames, index, device)
            assert std is not None
            calibration.add_image(depth, truth, std, use)
        cast(DepthNetwork, depth_model.depth).deviation_times(calibration.factor)
        return calibration.factor

    def _photometric(self, model: DepthModel, index: int, device: torch.device) -> float | None:
        """Without auto-masking, which depends on the network: all must use the same pixels.

        None where the motion is unknown, so that nothing can be compared.
        """
        batch = self._held_out.triplets.unchanged(index).to(device)
        compared = compare_batch(batch, predict(model, batch), self._weights)
        mean, count = masked_mean(compared.error[0], compared.seen[0])
        return float(mean[0]) if count[0] else None

    @torch.inference_mode()
    def picture(self, model: nn.Module, device: torch.device) -> NDArray[np.uint8] | None:
        """A held-out frame, its depth, its photometric error and its compared pixels: one row."""
        chosen = self._held_out.chosen_triplets
        if not chosen:
            return None
        batch = self._held_out.triplets.unchanged(chosen[len(chosen) // 2]).to(device)
        predicted = predict(model, batch)
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


def predict(
    network: nn.Module,
    batch: TripletBatch,
    image: Tensor | None = None,
    hiding: Tensor | None = None,
) -> Prediction:
    """The prediction for a batch; `image` replaces the frame (B, 3, H, W), 0..1.

    `hiding` are the same images, some of them covered, for the deviation.
    """
    if image is None:
        image = batch.frames[:, 0].float() / 255
    image = image.contiguous(memory_format=torch.channels_last)
    plain = batch.plain.float() / 255 if batch.plain.numel() else None
    return Prediction(*network(image, batch.intrinsics[:, 1, 1], plain, hiding))


def _depth(
    model: DepthModel, frames: PreparedFrames, index: int, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Depth, and its standard deviation where the network gives it; (H, W)."""
    image = torch.from_numpy(np.array(frames.images[index])).to(device)
    focal = torch.tensor([frames.intrinsics[index][1, 1]], device=device).float()
    depth = model.depth(image.permute(2, 0, 1)[None].float() / 255, focal)
    answer = np.asarray(depth[0, 0].float().cpu().numpy(), np.float32)
    head = getattr(model.depth, "deviation", None)
    if head is None:
        return answer, None
    return answer, head.in_numpy(frames.size)(np.asarray(frames.images[index]), answer)


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to `count` - 1, evenly spaced."""
    if not count:
        return []
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})
