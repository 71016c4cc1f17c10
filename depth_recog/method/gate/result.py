# SPDX-License-Identifier: Apache-2.0
"""The object gate's result for one frame: its regions, and their decisions by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.estimator import PoseEstimate

Float = NDArray[np.float64]

STDS, LEAST_SPEED = 3.0, 0.3
"""Published threshold matrix: standard deviations of the translation, plus a speed in the depth's
unit per second. The matrix states the decision in the patent's form; the decision itself is made
by the score, which weighs the three elements together."""

FEATURELESS = 0
"""Region id of dynamic pixels without a feature nearby, and of static pixels."""


@dataclass(frozen=True)
class Region:
    """A connected piece of one category whose features have the same decision, in one frame.

    Attributes:
        region_id: the same in every frame in which the region is found; from 1.
        name: most frequent class of its pixels.
        pixels: number of its pixels.
        features: number of its features.
        motion: the decision.
        score: twice the log Bayes factor of moving over still; NaN if nothing was measured.
        why: reason of the decision.
        velocity: (3,) relative to the static scene, in the camera's axes, the depth's unit per
            second; NaN if nothing was measured.
        velocity_std: (3,) standard deviations of `velocity`.
        centre: (3,) centre of its visible surface, camera frame, the depth's unit.
        size: (3,) extent along the camera's axes; in depth, the nearest and farthest 10 % of its
            pixels are left out.
    """

    region_id: int
    name: str
    pixels: int
    features: int
    motion: Motion
    score: float
    why: str
    velocity: Float
    velocity_std: Float
    centre: Float
    size: Float

    @property
    def speed(self) -> float:
        """Length of `velocity`."""
        return float(np.linalg.norm(self.velocity))

    @property
    def speed_std(self) -> float:
        """Standard deviation of `speed`, with the errors of the axes taken as independent."""
        if not self.speed > 0:
            return float(self.velocity_std.max())
        return float(np.linalg.norm(self.velocity_std * self.velocity) / self.speed)


@dataclass(frozen=True)
class GateResult:
    """The decisions for one frame.

    Attributes:
        regions: of the dynamic pixels.
        region_ids: (h, w) int32, by pixel; `FEATURELESS` outside all regions.
        moving: (h, w) uint8 `Motion` by pixel; undecided on dynamic pixels outside all regions.
        scores: (h, w) float32, the region's score by pixel; NaN where nothing was measured.
    """

    regions: tuple[Region, ...]
    region_ids: NDArray[np.int32]
    moving: NDArray[np.uint8]
    scores: NDArray[np.float32]

    @property
    def likeliest_mover(self) -> Region | None:
        """The region with the highest score; None if nothing was measured."""
        measured = [region for region in self.regions if math.isfinite(region.score)]
        return max(measured, key=lambda region: region.score, default=None)

    @property
    def decision(self) -> Decision:
        """The decision for the whole frame: moving if any region moves, still if all are."""
        most = Motion(int(self.moving.max()))
        if most is Motion.STILL and not self.regions:
            return Decision(most, "no pixel of a dynamic category")
        same = [region for region in self.regions if region.motion is most]
        if not same:
            return Decision(most, "no features on dynamic categories")
        region = max(same, key=lambda r: (0.0 if math.isnan(r.score) else r.score, r.pixels))
        return Decision(most, f"{region.name} {region.region_id}: {region.why}")

    def dynamic_pose(self, static: PoseEstimate, seconds: float) -> PoseEstimate:
        """Return [R_s | t_s + v dt], the patent's dynamic pose, for the likeliest mover.

        Args:
            static: the static pose [R_s | t_s].
            seconds: dt; converted to the unit of `static` by the caller.
        """
        region = self.likeliest_mover
        if region is None:
            return PoseEstimate(why="no region was measured")
        if not static.ok:
            return PoseEstimate(why=f"no static pose: {static.why}")
        matrix = static.T_second_from_first.copy()
        matrix[:3, 3] += region.velocity * seconds
        return PoseEstimate(matrix, True, "", region.features, region.features)

    def thresholds(self, seconds: float) -> Matrix:
        """Return the (4, 4) threshold matrix; only the translation's elements are finite."""
        matrix = np.full((4, 4), np.inf)
        region = self.likeliest_mover
        if region is not None:
            matrix[:3, 3] = (STDS * region.velocity_std + LEAST_SPEED) * seconds
        return matrix
