# SPDX-License-Identifier: Apache-2.0
"""The order in which a frame, and then a pair of frames, goes through blocks 101 to 107.

`Recognizer.observe` looks at one frame (blocks 102, 103, and 109: its depth is the answer);
`Recognizer.compare` looks at a pair (blocks 104, 105, 107). `Recognizer.step` does both for the
newest frame of a stream. Block 106's projection image is `Pair.projection`, made when asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.errors import ConfigurationError
from depth_recog.method import gate_image, masking
from depth_recog.method.camera import Camera
from depth_recog.method.correspondences import Matches, track
from depth_recog.method.gate_image import Decision, Motion, Thresholds
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Observation, Pair, Step, image_tensor
from depth_recog.method.partner import PartnerBuffer
from depth_recog.method.pose import PoseEstimate, PoseEstimator, PosePair
from depth_recog.method.se3 import Matrix

DepthModel = Callable[[Tensor, Tensor], Tensor]
"""(1, 3, H, W) float 0..1 and (1,) focal length in pixels -> (1, 1, H, W) depth."""
ScoreModel = Callable[[Tensor], Tensor]
"""(1, 3, H, W) float 0..1 -> (1, k, H, W) class scores."""

GATES = ("image", "off", "all")
"""Literal gate; nothing is masked; every pixel of a dynamic category is."""
_ALONE = {"image": Motion.UNDECIDED, "off": Motion.STILL, "all": Motion.MOVING}

# Fewer features than this share found again: the picture was cut, not moved.
_LEAST_FOUND = 0.15
_LEAST_STATIC = 8


@dataclass(frozen=True)
class Settings:
    """What a user may decide.

    Attributes:
        rules: preset objects and which of them can move.
        gate: one of `GATES`.
        thresholds: of the literal gate, per second.
        mask_margin: how far masks are grown before features are chosen, pixels at network size.
        longest_gap_s: frames further apart make no pair, seconds.
        depth_scale: factor on the networks' depth and translations, before anything is made of
            them: depth, poses and the gate's thresholds are in one unit.

    Raises:
        ConfigurationError: an unknown gate.
    """

    rules: PresetRules = field(default_factory=PresetRules)
    gate: str = "image"
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(0.1, 3.5))
    mask_margin: int = 2
    longest_gap_s: float = 0.5
    depth_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.gate not in GATES:
            raise ConfigurationError(f"gate {self.gate!r} is unknown: {', '.join(GATES)}")


class Stopwatch:
    """Seconds by part, for one frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """What has passed since the last lap belongs to `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def _seen_by(settings: Settings) -> tuple[object, ...]:
    """What a buffered frame depends on."""
    return settings.rules, settings.longest_gap_s, settings.depth_scale


class Recognizer:
    """Frames in, depth, masks, poses and decisions out.

    Args:
        depth: the depth network.
        scores: the segmentation network.
        estimator: of static, dynamic and target pose.
        settings: what a user may decide.
        device: where the networks live.
    """

    def __init__(
        self,
        depth: DepthModel,
        scores: ScoreModel,
        estimator: PoseEstimator,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self._depth = depth
        self._scores = scores
        self._estimator = estimator
        self._settings = settings
        self._device = device
        self._buffer: PartnerBuffer[Observation] = PartnerBuffer(settings.longest_gap_s)

    @property
    def settings(self) -> Settings:
        """What the user decided."""
        return self._settings

    def changed(self, settings: Settings, estimator: PoseEstimator | None = None) -> Recognizer:
        """The same networks with other settings, and perhaps another estimator.

        It goes on with the buffered frames, unless what was seen in them depends on the change.
        """
        other = Recognizer(
            self._depth, self._scores, estimator or self._estimator, settings, self._device
        )
        if _seen_by(self._settings) == _seen_by(settings):
            other._buffer = self._buffer
        return other

    def reset(self) -> None:
        """Forget the buffered frames: another camera, a jump in time."""
        self._buffer.clear()

    def step(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        pair_wanted: bool = True,
    ) -> Step:
        """The newest frame of a stream.

        Args:
            name: the frame's name.
            stamp_ns: time of exposure in nanoseconds.
            image: (h, w, 3) uint8 RGB at the network's size, rectified.
            camera: intrinsics of `image`.
            pair_wanted: False leaves blocks 104 to 107 out: only depth and masks are needed.

        Returns:
            What was seen, and the pair with an earlier frame where there was one.
        """
        watch = Stopwatch()
        frame = self.observe(name, stamp_ns, image, camera, watch)
        why = self._buffer.broken_by(stamp_ns)
        if why:
            self.reset()
        partner = self._buffer.partner(stamp_ns)
        if partner is not None and partner.camera != camera:
            why = "the camera's calibration changed"
            self.reset()
            partner = None
        pair = None
        if partner is None:
            why = why or "first frame"
        elif not pair_wanted:
            why = "no pair was asked for"
        else:
            pair = self.compare(partner, frame, watch)
            if pair.matches.tried and len(pair.matches) < _LEAST_FOUND * pair.matches.tried:
                why = f"cut: {len(pair.matches)} of {pair.matches.tried} features found again"
                self.reset()
                pair = None
            else:
                keep = ~partner.dynamic, ~frame.dynamic
                static = pair.matches.within(*keep)
                # Too few say nothing of the motion: darkness is not rest.
                if len(static) >= _LEAST_STATIC:
                    self._buffer.learn(static.median_motion / camera.width)
        self._buffer.add(frame)
        return Step(frame, pair, why or "", _ALONE[self._settings.gate], watch.seconds)

    def observe(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        watch: Stopwatch | None = None,
    ) -> Observation:
        """Blocks 102 and 103 on one frame. Arguments as in `step`."""
        watch = watch or Stopwatch()
        with torch.inference_mode():
            tensor = image_tensor(image, self._device)
            focal = torch.tensor([camera.fy], dtype=tensor.dtype, device=self._device)
            scaled = self._depth(tensor, focal)[0, 0].float() * self._settings.depth_scale
            depth = scaled.cpu().numpy()
            watch.lap("depth network")
            # The largest probability is the largest score: the softmax changes no order.
            labels = self._scores(tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
            watch.lap("segmentation network")
        rules = self._settings.rules
        dynamic = rules.dynamic_pixels(labels)
        frame = Observation(name, stamp_ns, image, camera, depth, labels, dynamic, rules)
        watch.lap("masks")
        return frame

    def compare(
        self, first: Observation, second: Observation, watch: Stopwatch | None = None
    ) -> Pair:
        """Blocks 104, 105 and 107 on two frames of one camera, the earlier one first."""
        watch = watch or Stopwatch()
        features = first.features
        watch.lap("features")
        matches = track(first.grey, second.grey, features)
        watch.lap("optical flow")
        margin = self._settings.mask_margin
        wide1 = masking.dilated(first.dynamic, margin)
        wide2 = masking.dilated(second.dynamic, margin)
        static = self._pose(first, second, matches, ~wide1, ~wide2)
        watch.lap("static pose")
        dynamic = PoseEstimate(why="no pixel of a dynamic category")
        if first.dynamic.any():
            dynamic = self._pose(first, second, matches, first.dynamic, second.dynamic)
        watch.lap("dynamic pose")
        everything = np.ones_like(first.dynamic)
        target = self._pose(first, second, matches, everything, everything)
        watch.lap("target pose")
        seconds = (second.stamp_ns - first.stamp_ns) / 1e9
        thresholds = self._settings.thresholds.matrix(seconds)
        # Of both: the decision is shown on I2, where something may have just come into view.
        pixels = int(first.dynamic.sum()) + int(second.dynamic.sum())
        decision = self._decide(static, dynamic, thresholds, pixels)
        watch.lap("gate")
        return Pair(first, second, matches, static, dynamic, target, thresholds, decision)

    def _decide(
        self, static: PoseEstimate, dynamic: PoseEstimate, thresholds: Matrix, pixels: int
    ) -> Decision:
        if self._settings.gate == "off":
            return Decision(Motion.STILL, "the gate is off")
        if self._settings.gate == "all":
            return Decision(Motion.MOVING if pixels else Motion.STILL, "the gate masks all")
        return gate_image.decide(static, dynamic, thresholds, pixels)

    def _pose(
        self,
        first: Observation,
        second: Observation,
        matches: Matches,
        keep_first: NDArray[np.bool_],
        keep_second: NDArray[np.bool_],
    ) -> PoseEstimate:
        pair = PosePair(
            masking.masked_image(first.image, ~keep_first),
            masking.masked_image(second.image, ~keep_second),
            matches.within(keep_first, keep_second),
            first.depth,
            first.camera,
            self._settings.depth_scale,
        )
        return self._estimator.estimate(pair)
