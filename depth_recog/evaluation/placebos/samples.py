# SPDX-License-Identifier: Apache-2.0
"""Runs the pipeline over a recording with placebos in it, and collects what the gates measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.evaluation.placebos.placebos import Mask, Placebo, Placebos
from depth_recog.method.gate.by_image import Motion, absolute_difference
from depth_recog.method.masking import PresetRules
from depth_recog.method.networks import Image, LabelModel
from depth_recog.method.pair import Pair, pose_pair
from depth_recog.method.tracking.partner import LEAST_MOTION
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline
from depth_recog.processed import PreparedImage

WARM_UP_S = 0.3
"""A placebo is sampled from this age on, when the gate has accumulated some evidence."""

# A frame with less static motion than half of a good pair's counts as the camera at rest, where
# errors of depth have no effect.
_REST = LEAST_MOTION / 2
# Longer than the longest gap of a pair.
_KEPT_NS = 11_000_000_000
_NOWHERE = 255


@dataclass(frozen=True)
class RegionSample:
    """The object gate's result for one placebo in one frame.

    Attributes:
        placebo: its number.
        score: median over its pixels.
        motion: the decision for most of its pixels.
    """

    placebo: int
    score: float
    motion: Motion


@dataclass(frozen=True)
class PairSample:
    """The literal gate's measure for one pair, with the placebos as the only dynamic objects.

    Attributes:
        stamp_ns: of the second frame, nanoseconds.
        rotation: largest element of abs(static - dynamic) in R, per second.
        translation: largest element in t, the depth's unit per second.
    """

    stamp_ns: int
    rotation: float
    translation: float


@dataclass
class PlaceboSamples:
    """The samples of a recording.

    Attributes:
        regions: of the object gate.
        pairs: of the literal gate.
        frames: how many were processed.
        at_rest: how many of them were left out because the camera stood.
    """

    regions: list[RegionSample] = field(default_factory=list)
    pairs: list[PairSample] = field(default_factory=list)
    frames: int = 0
    at_rest: int = 0

    @property
    def placebos(self) -> int:
        """Number of placebos with samples."""
        return len({sample.placebo for sample in self.regions})


class PlaceboLabels:
    """A segmentation network that sees placebos as objects; a `LabelModel`.

    Attributes:
        shown: the placebos of the latest frame.
        background: (H, W) bool of that frame, True where neither a dynamic class nor the sky is.
    """

    def __init__(self, labels: LabelModel, placebos: Placebos, rules: PresetRules) -> None:
        self.shown: tuple[Placebo, ...] = ()
        self.background: Mask = np.zeros((0, 0), np.bool_)
        self._labels = labels
        self._placebos = placebos
        self._rules = rules

    def __call__(self, image: Image) -> Callable[[], NDArray[np.uint8]]:
        """See `LabelModel`. Placebos that came close to something else end here."""
        labels = self._labels(image)()
        rules = self._rules
        self.background = ~(rules.dynamic_pixels(labels) | rules.sky_pixels(labels))
        self._placebos.keep_to(self.background)
        self.shown = self._placebos.alive
        placed = np.full(labels.shape, _NOWHERE, np.uint8)
        for placebo in self.shown:
            mask, name = placebo.mask(labels.shape), placebo.shape.name
            kind = rules.classes.index(name if name in rules.dynamic else rules.dynamic[0])
            placed[mask] = np.minimum(placed[mask], kind)
        seen = np.where(placed < _NOWHERE, placed, labels)
        return lambda: seen


class PlaceboRun:
    """Processes one recording with placebos.

    Args:
        assembly: with the object gate.
        seed: of the placebos.
    """

    def __init__(self, assembly: Assembly, seed: int = 0) -> None:
        settings = assembly.recognizer.settings
        self._placebos = Placebos(seed)
        self._labels = PlaceboLabels(assembly.mask_network, self._placebos, settings.rules)
        self._pipeline = Pipeline(assembly.with_mask_network(self._labels))
        self._estimator = assembly.estimator
        self._masks: dict[int, Mask] = {}
        self._found = PlaceboSamples()

    def over(self, frames: Iterable[Frame]) -> PlaceboSamples:
        """Process the frames, and return all samples so far.

        Raises:
            SourceError: a frame cannot be read.
            CalibrationError: as `Pipeline.prepare`.
        """
        for frame in frames:
            self._add(self._pipeline.prepare_frame(frame))
        return self._found

    def _add(self, prepared: PreparedImage) -> None:
        grey = np.asarray(cv2.cvtColor(prepared.image, cv2.COLOR_RGB2GRAY), np.uint8)
        self._placebos.follow(prepared.stamp_ns, grey)
        step = self._pipeline.recognize(prepared).step
        self._found.frames += 1
        if step.pair is None:
            self._placebos.alive = ()  # they cannot be followed over a cut
            self._masks.clear()
        else:
            self._sample(step.pair)
        background, seen = self._labels.background, step.frame.seen
        self._placebos.draw(grey, step.frame, background if seen is None else background & seen)

    def _sample(self, pair: Pair) -> None:
        stamp_ns, shape = pair.second.stamp_ns, pair.second.depth.shape
        masks = [placebo.mask(shape) for placebo in self._labels.shown]
        self._masks = {t: mask for t, mask in self._masks.items() if stamp_ns - t < _KEPT_NS}
        self._masks[stamp_ns] = np.any(masks, axis=0) if masks else np.zeros(shape, np.bool_)
        static = pair.correspondences.within(~pair.first.dynamic, ~pair.second.dynamic)
        if static.median_motion < _REST * shape[1]:
            self._found.at_rest += 1
            return
        for placebo, mask in zip(self._labels.shown, masks, strict=True):
            known = pair.scores[mask]
            known = known[np.isfinite(known)]
            if stamp_ns - placebo.born_ns < WARM_UP_S * 1e9 or not len(known):
                continue
            motion = Motion(int(np.bincount(pair.moving[mask], minlength=3).argmax()))
            sample = RegionSample(placebo.number, float(np.median(known)), motion)
            self._found.regions.append(sample)
        if pair.first.stamp_ns in self._masks:
            self._sample_poses(pair)

    def _sample_poses(self, pair: Pair) -> None:
        keep = self._masks[pair.first.stamp_ns], self._masks[pair.second.stamp_ns]
        dynamic = self._estimator.estimate(
            pose_pair(pair.first, pair.second, pair.correspondences, keep)
        )
        if not (dynamic.ok and pair.static.ok):
            return
        difference = absolute_difference(
            pair.static.T_second_from_first, dynamic.T_second_from_first
        )
        rotation = float(difference[:3, :3].max()) / pair.seconds
        translation = float(difference[:3, 3].max()) / pair.seconds
        self._found.pairs.append(PairSample(pair.second.stamp_ns, rotation, translation))
