# SPDX-License-Identifier: Apache-2.0
"""What the gates measure where nothing moves: one pass over a recording with placebos in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_recog.calibration.placebos import Mask, Placebo, Placebos
from depth_recog.datasets.sequence import Frame
from depth_recog.method.gate.by_image import Motion, absolute_difference
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Pair
from depth_recog.method.pose.estimator import PoseEstimator
from depth_recog.method.pose.pair_poses import pose_pair
from depth_recog.method.recognizer import DepthModel, Recognizer, ScoreModel
from depth_recog.method.settings import Settings
from depth_recog.method.tracking.partner import LEAST_MOTION

WARM_UP_S = 0.3
"""A placebo counts from this age on: before, little is known of it."""

# A frame counts from half of a good pair's motion on: a camera at rest sees no error of depth.
_REST = LEAST_MOTION / 2
# Longer than the longest gap of a pair.
_KEPT_NS = 11_000_000_000


@dataclass(frozen=True)
class Sample:
    """A placebo in a frame, as the gate by object has it.

    Attributes:
        placebo: its number.
        name: the class that it is given out for.
        stamp_ns: of the frame.
        depth: at which it was put.
        pixels: how many it has.
        score: median over its pixels.
        motion: what most of its pixels are called.
    """

    placebo: int
    name: str
    stamp_ns: int
    depth: float
    pixels: int
    score: float
    motion: Motion


@dataclass(frozen=True)
class LiteralSample:
    """A pair of frames, as the literal gate has it, with the placebos for its dynamic objects.

    Attributes:
        stamp_ns: of the second frame.
        rotation: largest element of abs(static - dynamic) in R, per second.
        translation: likewise in t, the depth's unit per second.
    """

    stamp_ns: int
    rotation: float
    translation: float


@dataclass
class NullSamples:
    """All of a recording.

    Attributes:
        regions: of the gate by object.
        pairs: of the literal gate.
        frames: how many there were.
        at_rest: how many of them did not count, since the camera stood.
    """

    regions: list[Sample] = field(default_factory=list)
    pairs: list[LiteralSample] = field(default_factory=list)
    frames: int = 0
    at_rest: int = 0


class Painted:
    """A segmentation network that sees placebos: `Recognizer` takes it for any other.

    Attributes:
        shown: the placebos of the latest frame.
        background: (H, W) bool of it, what cannot move and is not the sky.
    """

    def __init__(self, scores: ScoreModel, placebos: Placebos, rules: PresetRules) -> None:
        self.shown: tuple[Placebo, ...] = ()
        self.background: Mask = np.zeros((0, 0), np.bool_)
        self._scores = scores
        self._placebos = placebos
        self._rules = rules

    def __call__(self, image: Tensor) -> Tensor:
        """See `ScoreModel`. Placebos that came near something else end here."""
        scores = self._scores(image).clone()
        labels = scores.argmax(1)[0].to(torch.uint8).cpu().numpy()
        rules = self._rules
        self.background = ~(rules.dynamic_pixels(labels) | rules.sky_pixels(labels))
        self._placebos.keep_to(self.background)
        self.shown = self._placebos.alive
        highest = scores.amax(1) + 1
        for placebo in self.shown:
            mask = torch.from_numpy(placebo.mask(labels.shape)).to(scores.device)
            name = placebo.shape.name
            kind = rules.classes.index(name if name in rules.dynamic else rules.dynamic[0])
            scores[0, kind][mask] = highest[0][mask]
        return scores


class NullRun:
    """Placebos among the frames of a recording.

    Args:
        depth: the depth network.
        scores: the segmentation network.
        estimator: of the poses.
        settings: of the gate by object, which says what it makes of placebos.
        device: where the networks live.
        size: (width, height) at which a camera's images enter the networks.
        seed: of the placebos.
        frozen: a depth network for the gate by object alone, as of `Recognizer`.
    """

    def __init__(
        self,
        depth: DepthModel,
        scores: ScoreModel,
        estimator: PoseEstimator,
        settings: Settings,
        device: torch.device,
        size: Callable[[Camera], tuple[int, int]],
        seed: int = 0,
        frozen: DepthModel | None = None,
    ) -> None:
        self._placebos = Placebos(seed)
        self._painted = Painted(scores, self._placebos, settings.rules)
        self._recognizer = Recognizer(depth, self._painted, estimator, settings, device, frozen)
        self._estimator = estimator
        self._settings = settings
        self._size = size
        self._masks: dict[int, Mask] = {}

    def of(self, frames: Iterable[Frame]) -> NullSamples:
        """Everything that is measured. Raises SourceError or CalibrationError."""
        answer = NullSamples()
        view: Viewport | None = None
        for frame in frames:
            if view is None or view.camera != frame.camera:
                view = Viewport.of(frame.camera, self._size(frame.camera.rectified()))
            image = view.shrink(view.rectify(frame.image))
            grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
            self._placebos.follow(frame.stamp_ns, grey)
            step = self._recognizer.step(frame.name, frame.stamp_ns, image, view.network)
            answer.frames += 1
            if step.pair is None:
                self._placebos.alive = ()  # what was followed over a cut was not
                self._masks.clear()
            else:
                self._measure(step.pair, answer)
            background = self._painted.background
            depth = step.frame.gate_depth
            self._placebos.draw(frame.stamp_ns, grey, depth, background, view.network)
        return answer

    def _measure(self, pair: Pair, answer: NullSamples) -> None:
        stamp_ns, shape = pair.second.stamp_ns, pair.second.depth.shape
        masks = [placebo.mask(shape) for placebo in self._painted.shown]
        self._masks = {
            then: mask for then, mask in self._masks.items() if stamp_ns - then < _KEPT_NS
        }
        self._masks[stamp_ns] = np.any(masks, axis=0) if masks else np.zeros(shape, np.bool_)
        still = pair.correspondences.within(~pair.first.dynamic, ~pair.second.dynamic)
        if still.median_motion < _REST * shape[1]:
            answer.at_rest += 1
            return
        for placebo, mask in zip(self._painted.shown, masks, strict=True):
            known = pair.scores[mask]
            known = known[np.isfinite(known)]
            if stamp_ns - placebo.born_ns < WARM_UP_S * 1e9 or not len(known):
                continue
            motion = Motion(int(np.bincount(pair.moving[mask], minlength=3).argmax()))
            answer.regions.append(
                Sample(
                    placebo.number,
                    placebo.shape.name,
                    stamp_ns,
                    placebo.depth,
                    int(mask.sum()),
                    float(np.median(known)),
                    motion,
                )
            )
        if pair.first.stamp_ns in self._masks:
            self._measure_poses(pair, answer)

    def _measure_poses(self, pair: Pair, answer: NullSamples) -> None:
        """The literal gate's own measure, with the placebos alone for dynamic objects."""
        keep = self._masks[pair.first.stamp_ns], self._masks[pair.second.stamp_ns]
        scale = self._settings.depth_scale
        dynamic = self._estimator.estimate(
            pose_pair(pair.first, pair.second, pair.correspondences, keep, scale)
        )
        if not (dynamic.ok and pair.static.ok):
            return
        difference = absolute_difference(
            pair.static.T_second_from_first, dynamic.T_second_from_first
        )
        answer.pairs.append(
            LiteralSample(
                pair.second.stamp_ns,
                float(difference[:3, :3].max()) / pair.seconds,
                float(difference[:3, 3].max()) / pair.seconds,
            )
        )
