# SPDX-License-Identifier: Apache-2.0
"""Two frames compared (blocks 104 to 107), and the recognizer's result for the newest frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate import by_image
from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.gate.result import GateResult
from depth_recog.method.geometry import warp
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.masking import masked_image
from depth_recog.method.observation import Observation
from depth_recog.method.pose.estimator import PoseEstimate, PoseEstimator, PosePair
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.tracking import tracks
from depth_recog.method.tracking.tracks import Correspondences

Mask = NDArray[np.bool_]

_PNP = PnpEstimator()


def pose_pair(
    first: Observation,
    second: Observation,
    correspondences: Correspondences,
    keep: tuple[Mask, Mask],
    depth: NDArray[np.float32] | None = None,
) -> PosePair:
    """Mask two frames for a pose estimator.

    Args:
        first: I1.
        second: I2.
        correspondences: over the whole images.
        keep: (H, W) bool each, the pixels of I1 and of I2 that are not masked.
        depth: (H, W) float32, D1; the depth of `first` if None.
    """
    return PosePair(
        first.image,
        second.image,
        correspondences.within(*keep),
        first.depth if depth is None else depth,
        first.camera,
        first.scale.factor,
        *keep,
    )


def correspondences_of(first: Observation, second: Observation) -> Correspondences:
    """Return the correspondences of two frames that have tracks."""
    assert first.tracks is not None
    assert second.tracks is not None
    return tracks.correspondences(first.tracks, second.tracks)


def pose_for_gate(earlier: Observation, frame: Observation, guess: Matrix | None) -> PoseEstimate:
    """Estimate the camera's motion as the object gate needs it.

    It is always estimated by pnp, for its covariance, and in the unit of the gate's depth.

    Args:
        earlier: I1, with its tracks.
        frame: I2, with its tracks.
        guess: (4, 4) a motion close to the solution; None if there is none.
    """
    keep = ~earlier.dynamic, ~frame.dynamic
    found = correspondences_of(earlier, frame)
    pair = pose_pair(earlier, frame, found, keep, earlier.gate_depth)
    return _PNP.estimate_from(pair, guess)


@dataclass(eq=False)
class PairPoses:
    """The three poses of one pair by one estimator; they differ in what is masked.

    The static pose is always needed. The others are estimated on first use: by the image gate, or
    when somebody subscribes to them.

    Attributes:
        first: I1.
        second: I2.
        correspondences: over the whole images.
        estimator: of all three poses.
        margin: pixels by which the dynamic mask is grown for the static pose.
        static: pose of the static images.
    """

    first: Observation
    second: Observation
    correspondences: Correspondences
    estimator: PoseEstimator
    margin: int
    static: PoseEstimate = field(init=False)

    def __post_init__(self) -> None:
        self.static = self._estimate(~self.first.near(self.margin), ~self.second.near(self.margin))

    @cached_property
    def dynamic(self) -> PoseEstimate:
        """Pose of the dynamic images."""
        if not self.first.dynamic.any():
            return PoseEstimate(why="no pixel of a dynamic category")
        return self._estimate(self.first.dynamic, self.second.dynamic)

    @cached_property
    def target(self) -> PoseEstimate:
        """Pose of the unmasked images."""
        everything = np.ones_like(self.first.dynamic)
        return self._estimate(everything, everything)

    def decision(self, gate: str, thresholds: Matrix, pixels: int) -> Decision:
        """Decide for the whole image.

        Args:
            gate: the setting: image, off or all.
            thresholds: (4, 4), of the image gate for the pair's time difference.
            pixels: number of dynamic pixels in both frames.
        """
        if gate == "off":
            return Decision(Motion.STILL, "the gate is off")
        if gate == "all":
            motion = Motion.MOVING if pixels else Motion.STILL
            return Decision(motion, "the gate masks every dynamic object")
        return by_image.decide(self.static, self.dynamic, thresholds, pixels)

    def _estimate(self, keep_first: Mask, keep_second: Mask) -> PoseEstimate:
        keep = keep_first, keep_second
        return self.estimator.estimate(
            pose_pair(self.first, self.second, self.correspondences, keep)
        )


class TargetImages(NamedTuple):
    """Target image and target projection image (blocks 106, 107).

    Attributes:
        image: (h, w, 3) uint8: I1, or its static image.
        projection: (h, w, 3) uint8, the projection image of I1; 0 outside I2.
        masked: (h, w) bool, pixels that are masked in both.
    """

    image: NDArray[np.uint8]
    projection: NDArray[np.uint8]
    masked: Mask


@dataclass(frozen=True)
class Pair:
    """The comparison of I1 (the earlier frame) and I2.

    Attributes:
        first: I1.
        second: I2.
        correspondences: over the whole images.
        poses: static, dynamic and target pose.
        thresholds: (4, 4), for this pair's time difference.
        decision: whether the dynamic objects move.
        gate_result: decisions of the object gate by region; None with another gate.
    """

    first: Observation
    second: Observation
    correspondences: Correspondences
    poses: PairPoses
    thresholds: Matrix
    decision: Decision
    gate_result: GateResult | None = None

    @property
    def static(self) -> PoseEstimate:
        """Pose of the static images."""
        return self.poses.static

    @property
    def dynamic(self) -> PoseEstimate:
        """Pose of the dynamic images; with the object gate, of the likeliest mover."""
        if self.gate_result is not None:
            unit = self.second.gate_unit
            return self.gate_result.dynamic_pose(self.static, self.seconds * unit)
        return self.poses.dynamic

    @property
    def target(self) -> PoseEstimate:
        """Pose of the unmasked images."""
        return self.poses.target

    @property
    def seconds(self) -> float:
        """Time between the frames, seconds."""
        return (self.second.stamp_ns - self.first.stamp_ns) / 1e9

    @property
    def absolute_difference(self) -> Matrix:
        """(4, 4) |static - dynamic|; NaN if one of the two poses is missing."""
        if not (self.static.ok and self.dynamic.ok):
            return np.full((4, 4), np.nan)
        return by_image.absolute_difference(
            self.static.T_second_from_first, self.dynamic.T_second_from_first
        )

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(h, w) uint8 of I2: 0 still, 1 undecided, 2 moving."""
        if self.gate_result is not None:
            return self.gate_result.moving
        return moving_map(self.second.dynamic, self.decision.motion)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(h, w) float32 of I2, see `Step.scores`."""
        if self.gate_result is not None:
            return self.gate_result.scores
        excess = float(np.max(self.absolute_difference / self.thresholds))
        return np.where(self.second.dynamic, np.float32(excess), np.float32(np.nan))

    def projection(self) -> TargetImages | None:
        """Return the images that block 108 compares; None without a target pose."""
        if not self.target.ok:
            return None
        first, T = self.first, self.target.T_second_from_first
        moved = warp.projection_image(self.second.image, first.depth, first.camera, T)
        masked = first.dynamic & (self.decision.motion is not Motion.STILL)
        return TargetImages(masked_image(first.image, masked), masked_image(moved, masked), masked)


@dataclass(frozen=True)
class Step:
    """The result for the newest frame of a stream.

    Attributes:
        frame: the newest frame.
        pair: its comparison with an earlier frame; None without a partner.
        why_alone: the reason why there is no pair.
        motion_alone: the decision for dynamic pixels when there is no pair.
        seconds: time by part of the pipeline.
    """

    frame: Observation
    pair: Pair | None
    why_alone: str = ""
    motion_alone: Motion = Motion.UNDECIDED
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(h, w) uint8 decisions by pixel of the newest frame."""
        if self.pair is not None:
            return self.pair.moving
        return moving_map(self.frame.dynamic, self.motion_alone)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(h, w) float32 of the newest frame; the higher, the more likely a pixel moves.

        With the object gate it is the region's score. With other gates it is the largest element of
        the absolute difference, divided by its threshold. NaN where nothing was measured.
        """
        if self.pair is None:
            return np.full(self.frame.depth.shape, np.nan, np.float32)
        return self.pair.scores


def moving_map(dynamic: Mask, motion: Motion) -> NDArray[np.uint8]:
    """Return (h, w) uint8 decisions: `motion` on dynamic pixels, still elsewhere."""
    return np.where(dynamic, np.uint8(motion), np.uint8(Motion.STILL))
