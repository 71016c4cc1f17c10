# SPDX-License-Identifier: Apache-2.0
"""Trains the segmentation network of block 103 on small frames.

It begins with the weights of the pseudo-label network (teacher), or with those of --start, and
learns the class probabilities that the teacher gives for the same frames at full size, or the
recorded labels where a source has them. Frames keep their aspect: their training sizes are those
at which the pipeline processes their camera. At the end a temperature is fitted on the held-out
frames and stored with the weights.

    python -m recipes.masks SOURCE[@A:B]... --validate SOURCE@A:B --teacher MODEL.tflite --out DIR
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.method.geometry.viewport import STRIDE, size_alike
from depth_recog.networks.own.deeplab import RefinedDeepLab, segmentation_network
from depth_recog.networks.own.files import load_network
from depth_recog.training.data.augmentation import Augmentation, coloured, draw_colours
from depth_recog.training.data.cache import Annotator, SourceFrames, first_frame, prepare
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.initial import InitialNetwork
from depth_recog.training.loop.batches import StepDataset, TensorBatch
from depth_recog.training.loop.run import TrainingRun, origin
from depth_recog.training.loop.trainer import Mean, Trainer, ValidationResult
from depth_recog.training.result import TrainedNetwork, export, facts_of_run
from recipes.mask_labels import SoftLabels, VotedLabels, resized_labels
from recipes.mask_metrics import CLASSES, GROUPS, Agreement, confusion
from recipes.start import make_parser, start
from recipes.teacher_weights import load_teacher
from recipes.temperature import CalibrationTally, fit_temperature

SIZES = ((640, 192), (416, 128))
"""(width, height) in pixels of the training images, in turn, for KITTI's aspect; other frames have
their own aspect and about as many pixels."""

DESIGN = "refined_deeplab"

DEFAULTS: dict[str, Any] = {
    "steps": 500,
    "batch": 4,
    "rate": 3e-4,
    "encoder_rate": 0.2,
    "average": 0.99,
    "augment": {"zoom": 3.0, "colour": 0.5},
    "validation": {"every": 100, "frames": 20},
}

CLASS_WEIGHTS = (0.4, 3)
"""Least and largest weight of a class."""

EVERY = 61
"""One pixel in so many is used to fit the temperature; prime, so that no column is preferred."""


@dataclass
class MaskBatch(TensorBatch):
    """Images with class probabilities.

    Attributes:
        images: (B, 3, H, W) uint8.
        probabilities: (B, 19, H, W) uint8, in 255ths.
        colours: (B, 4) float32, factors for `coloured`.
    """

    images: Tensor
    probabilities: Tensor
    colours: Tensor


class MaskDataset(StepDataset[MaskBatch]):
    """Reads augmented frames; the size alternates from step to step.

    Args:
        recordings: annotated with `SoftLabels`.
        seed: of the order and of the augmentation.
        zoom: largest zoom.
        colour: largest change of colours.
    """

    def __init__(
        self, recordings: list[PreparedFrames], seed: int, zoom: float, colour: float
    ) -> None:
        shapes = [sizes_of(frames)[0] for frames in recordings]
        super().__init__([len(frames) for frames in recordings], seed, shapes)
        self._recordings, self._zoom, self._colour = recordings, zoom, colour

    def read(self, step: int, index: int, rng: np.random.Generator) -> MaskBatch:
        """See `StepDataset`."""
        which, number = self.index[index]
        frames = self._recordings[which]
        assert frames.probabilities is not None
        size = sizes_of(frames)[step % len(SIZES)]
        augmentation = Augmentation.draw(rng, size, self._zoom)
        image = augmentation.apply(np.asarray(frames.images[number]), cv2.INTER_AREA)
        wanted = augmentation.apply(np.asarray(frames.probabilities[number]), cv2.INTER_LINEAR)
        # Copies: the frames are read-only.
        images, targets = (
            torch.from_numpy(np.array(a.transpose(2, 0, 1))) for a in (image, wanted)
        )
        return MaskBatch(images, targets, draw_colours(rng, 1, self._colour)[0])


class MaskTask:
    """Trains a segmentation network.

    Args:
        model: with the teacher's weights.
        class_weights: (19,) float.
        held_out: annotated with `VotedLabels`.
    """

    def __init__(
        self,
        model: RefinedDeepLab,
        class_weights: Tensor,
        held_out: list[PreparedFrames],
    ) -> None:
        self.model = model
        self._class_weights, self._held_out = class_weights, held_out

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters that the teacher has too."""
        return [*self.model.encoder.parameters(), *self.model.head.parameters()]

    def losses(self, network: nn.Module, batch: MaskBatch, mean: Mean) -> dict[str, Tensor]:
        """See `TrainingTask`."""
        images = coloured(batch.images.float() / 255, batch.colours)
        scores = network(images.contiguous(memory_format=torch.channels_last))
        wanted = batch.probabilities.float() / 255
        return {"total": soft_cross_entropy(scores, wanted, self._class_weights.to(scores.device))}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> ValidationResult:
        """Intersection over union with the vote, at both sizes; that of what moves decides."""
        figures: dict[str, float] = {}
        for which, (width, _) in enumerate(SIZES):
            table = np.zeros((CLASSES, CLASSES), np.int64)
            for image, labels in self.held_out_frames(which):
                found = model(image.to(device)).argmax(1)[0].cpu().numpy().astype(np.uint8)
                table += confusion(labels, found)
            agreement = Agreement.of(table)
            values = {"iou": agreement.mean, "accuracy": agreement.accuracy, **agreement.by_group}
            figures |= {f"{name}_{width}": value for name, value in values.items()}
        decisive = [figures[f"{group}_{width}"] for group in GROUPS for width, _ in SIZES]
        figures["error"] = 1 - float(np.mean(decisive))
        return ValidationResult(figures, "error")

    def picture(self, model: nn.Module, device: torch.device) -> None:
        """None: there is no picture for masks."""

    def held_out_frames(self, which: int) -> list[tuple[Tensor, NDArray[np.uint8]]]:
        """Images (1, 3, H, W) float, 0..1, and labels (H, W) at a size of `sizes_of`."""
        chosen = []
        for frames in self._held_out:
            size = sizes_of(frames)[which]
            for i in range(len(frames)):
                image = cv2.resize(np.asarray(frames.images[i]), size, interpolation=cv2.INTER_AREA)
                tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
                chosen.append((tensor, resized_labels(np.asarray(frames.labels[i]), size)))
        return chosen


def sizes_of(frames: PreparedFrames) -> list[tuple[int, int]]:
    """(width, height) of a recording's training images, one for each of `SIZES`."""
    first = size_alike(*frames.size, SIZES[0])
    return [first, *(size_alike(*first, size) for size in SIZES[1:])]


def weights_of_classes(recordings: list[PreparedFrames]) -> Tensor:
    """(19,) weights: the fourth root of a class's rarity, within `CLASS_WEIGHTS`."""
    shares = []
    for frames in recordings:
        assert frames.probabilities is not None
        shares.append(np.mean([p.mean((0, 1)) for p in frames.probabilities[::4]], 0))
    frequency = np.sum(shares, 0) / np.sum(shares)
    rarity = np.median(frequency[frequency > 0]) / np.maximum(frequency, 1e-6)
    return torch.from_numpy(np.clip(rarity**0.25, *CLASS_WEIGHTS)).float()


def soft_cross_entropy(scores: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Mean cross entropy with probabilities (B, C, H, W), each class by its weight (C,)."""
    weighted = probabilities * weights[:, None, None]
    return -(weighted * scores.log_softmax(1)).sum() / weighted.sum()


@torch.inference_mode()
def fit(network: RefinedDeepLab, task: MaskTask) -> dict[str, float]:
    """Fit the temperature on pixels of the held-out frames; with the calibration errors."""
    scores, labels = [], []
    for which in range(len(SIZES)):
        for image, truth in task.held_out_frames(which):
            known = torch.from_numpy(truth).long().flatten()[::EVERY]
            answer = network(image)[0].flatten(1).T[::EVERY]
            scores.append(answer[known < CLASSES])
            labels.append(known[known < CLASSES])
    all_scores, all_labels = torch.cat(scores), torch.cat(labels)
    temperature = round(fit_temperature(all_scores, all_labels), 3)
    figures = {"temperature": temperature}
    for name, divisor in (("before", 1.0), ("after", temperature)):
        confidence, answer = (all_scores / divisor).softmax(1).max(1)
        tally = CalibrationTally()
        tally.add(confidence.numpy(), (answer == all_labels).numpy())
        figures[f"calibration_error_{name}"] = round(tally.error, 4)
    return figures


def annotated(
    run: TrainingRun, chosen: list[SourceFrames], annotator: Annotator
) -> list[PreparedFrames]:
    """Frames near their own size, in multiples of `STRIDE`, annotated."""
    prepared = []
    for one in chosen:
        camera = first_frame(one).camera
        width, height = (max(1, round(side / STRIDE)) * STRIDE for side in camera.size)
        size = (width, height)
        prepared.append(prepare(one, size, annotator, run.cache, run.control.stop))
    return prepared


def every_nth(chosen: SourceFrames, most: int) -> SourceFrames:
    """At most so many of the chosen frames, evenly spaced."""
    step = -(-len(chosen.frames) // most)
    return replace(chosen, frames=chosen.frames[::step])


def start_of(options: argparse.Namespace) -> InitialNetwork:
    """The network before its training: the teacher's weights, or those of --start.

    Raises:
        WeightsError: they cannot be used.
    """
    if not options.start:
        network = RefinedDeepLab(enlargement=options.enlargement)
        load_teacher(network, options.teacher)
        return InitialNetwork(network, SIZES[0], False, {"design": DESIGN}, options.teacher.name)
    given, header = load_network(options.start, "masks")
    own = {**header.architecture, "enlargement": options.enlargement, "temperature": 1.0}
    network = segmentation_network(**own)
    network.load_state_dict(given.state_dict())
    return InitialNetwork(network, SIZES[0], False, header.architecture, header.path.stem, header)


@torch.no_grad()
def part_of_the_way(
    before: RefinedDeepLab, trained: RefinedDeepLab, share: float
) -> RefinedDeepLab:
    """The network with each weight between two networks' weights: `share` 0 is `before`.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
    """
    result = copy.deepcopy(before).to(next(trained.parameters()).device).eval()
    for own, other in zip(result.parameters(), trained.parameters(), strict=True):
        own.lerp_(other, share)
    return result


def main(arguments: list[str] | None = None) -> Path:
    """Train, fit the temperature and export; the path of the weights."""
    parser = make_parser(__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="TFLite segmentation model")
    parser.add_argument("--start", default="", help="mask weights to start from; else the teacher")
    parser.add_argument("--enlargement", type=float, default=1.5, help="of frames, in halves")
    parser.add_argument("--share", type=float, default=1.0, help="of the way from the start")
    parser.add_argument("--most", type=int, default=40, help="frames of a source, evenly spaced")
    options = parser.parse_args(arguments)
    initial = start_of(options)
    network = cast(RefinedDeepLab, initial.network)
    before = copy.deepcopy(network)
    run, split = start(options, DEFAULTS)
    config = run.config
    chosen = [every_nth(one, options.most) for one in split.training]
    recordings = annotated(run, chosen, SoftLabels(options.teacher))
    most = config.validation.frames
    validated = [every_nth(one, most) for one in split.validation]
    held_out = annotated(run, validated, VotedLabels(options.teacher))
    run.folder.write_manifest([file for frames in recordings for file in frames.files])
    weights = weights_of_classes(recordings)
    task = MaskTask(network, weights, held_out)
    augment = config.augment
    dataset = MaskDataset(recordings, config.seed, augment.zoom, augment.colour)
    trainer = Trainer(run, task, dataset)
    if options.resume:
        trainer.resume()
    why = trainer.run()
    trainer.load_best()
    result = part_of_the_way(before, cast(RefinedDeepLab, trainer.average), options.share)
    temperature = fit(result, task)
    architecture = {
        **initial.architecture,
        "enlargement": options.enlargement,
        "temperature": temperature["temperature"],
    }
    facts = {
        "origin": f"started from {initial.name}; {options.teacher.name} made the pseudo-labels",
        "share": options.share,
        "data": {"train": list(config.sources), "validation": list(config.validate_on)},
        **facts_of_run(config, origin("python -m recipes.masks"), trainer.progress, why),
        "temperature_scaling": temperature,
    }
    start_facts = initial._replace(architecture=architecture)
    trained = TrainedNetwork("masks", result, start_facts, SIZES[0], None)
    path = export(run.folder, config, trained, facts)
    print(path)
    return path


if __name__ == "__main__":
    main()
