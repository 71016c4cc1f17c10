# SPDX-License-Identifier: Apache-2.0
"""Blocks 104 and 105: a pair's static, dynamic and target pose.

Every pair needs the static pose. The others are estimated when they are asked for, by the literal
gate or by whoever listens to them: a pose that nobody looks at costs nothing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.correspondences import Matches
from depth_recog.method.observation import Observation
from depth_recog.method.pose import PoseEstimate, PoseEstimator, PosePair

Mask = NDArray[np.bool_]


class PairPoses:
    """Three poses of one pair by one estimator; they differ in the pixels that it may see.

    Args:
        first: I1.
        second: I2.
        matches: correspondences over the whole images.
        estimator: of all three.
        margin: how far dynamic pixels are grown before they are left out of the static pose.
        scale: what the depth network's answer was multiplied with.
    """

    def __init__(
        self,
        first: Observation,
        second: Observation,
        matches: Matches,
        estimator: PoseEstimator,
        margin: int = 2,
        scale: float = 1.0,
    ) -> None:
        self._first = first
        self._second = second
        self._matches = matches
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
        return self._estimator.estimate(
            PosePair(
                self._first.image,
                self._second.image,
                self._matches.within(keep_first, keep_second),
                self._first.depth,
                self._first.camera,
                self._scale,
                keep_first,
                keep_second,
            )
        )
