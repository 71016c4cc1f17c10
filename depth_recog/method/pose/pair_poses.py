# SPDX-License-Identifier: Apache-2.0
"""Blocks 104 and 105: a pair's static, dynamic and target pose.

Every pair needs the static pose. The others are estimated when they are asked for, by the literal
gate or by whoever listens to them: a pose that nobody looks at costs nothing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.observation import Observation
from depth_recog.method.pose.estimator import PoseEstimate, PoseEstimator, PosePair
from depth_recog.method.tracking.correspondences import Correspondences

Mask = NDArray[np.bool_]


def pose_pair(
    first: Observation,
    second: Observation,
    correspondences: Correspondences,
    keep: tuple[Mask, Mask],
    scale: float,
    depth: NDArray[np.float32] | None = None,
) -> PosePair:
    """What an estimator sees of two frames.

    Args:
        first: I1.
        second: I2.
        correspondences: correspondences over the whole images.
        keep: (H, W) bool each, the pixels of I1 and of I2 that it may see.
        scale: what the depth network's answer was multiplied with.
        depth: (H, W) float32, D1; None for that of `first`.
    """
    return PosePair(
        first.image,
        second.image,
        correspondences.within(*keep),
        first.depth if depth is None else depth,
        first.camera,
        scale,
        *keep,
    )


class PairPoses:
    """Three poses of one pair by one estimator; they differ in the pixels that it may see.

    Args:
        first: I1.
        second: I2.
        correspondences: correspondences over the whole images.
        estimator: of all three.
        margin: how far dynamic pixels are grown before they are left out of the static pose.
        scale: what the depth network's answer was multiplied with.
    """

    def __init__(
        self,
        first: Observation,
        second: Observation,
        correspondences: Correspondences,
        estimator: PoseEstimator,
        margin: int = 2,
        scale: float = 1.0,
    ) -> None:
        self._first = first
        self._second = second
        self._matches = correspondences
        self._estimator = estimator
        self._scale = scale
        self.static = self._of(~first.near(margin), ~second.near(margin))
        """Of the static images: nothing on or near a pixel of a dynamic category."""

    @cached_property
    def dynamic(self) -> PoseEstimate:
        """Of the dynamic images: pixels of dynamic categories alone."""
        if not self._first.dynamic.any():
            return PoseEstimate(why="no pixel of a dynamic category")
        return self._of(self._first.dynamic, self._second.dynamic)

    @cached_property
    def target(self) -> PoseEstimate:
        """Of the images as they are."""
        everything = np.ones_like(self._first.dynamic)
        return self._of(everything, everything)

    def _of(self, keep_first: Mask, keep_second: Mask) -> PoseEstimate:
        keep = keep_first, keep_second
        return self._estimator.estimate(
            pose_pair(self._first, self._second, self._matches, keep, self._scale)
        )
