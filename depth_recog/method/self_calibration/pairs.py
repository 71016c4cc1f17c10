# SPDX-License-Identifier: Apache-2.0
"""Pairs of frames with matching static points and enough motion between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.tracks import Grey, Points, as_bright_as, optical_flow

ENOUGH_MOTION = 0.1
"""Median motion at which a pair is complete, as a share of the image's width."""
LEAST_MOTION = 0.012
LONGEST = 25
"""Most frames between the two of a pair."""
LEAST_POINTS = 80
_TOLERANCE = 0.4


@dataclass(frozen=True)
class PointPair:
    """Matching points of two frames, (N, 2) float32 pixels (u, v) each."""

    first: Points
    second: Points

    @property
    def motion(self) -> float:
        """Median distance between matching points, pixels."""
        return float(np.median(np.linalg.norm(self.second - self.first, axis=1)))


class PairCollector:
    """Follows points over the frames of a recording, and makes pairs of its frames.

    Attributes:
        pairs: complete ones.
        frames: number of frames seen.
        textureless: number of those in which too few points were found.
    """

    def __init__(self) -> None:
        self.pairs: list[PointPair] = []
        self.frames = 0
        self.textureless = 0
        self._start: Points | None = None
        self._now: Points = np.zeros((0, 2), np.float32)
        self._before: Grey | None = None
        self._age = 0

    @property
    def wants_mask(self) -> bool:
        """Whether the next frame begins a pair, so that its mask is needed."""
        return self._start is None

    def add(self, grey: Grey, avoid: NDArray[np.bool_] | None = None) -> bool:
        """Take the next frame.

        Args:
            grey: (H, W) uint8.
            avoid: (H, W) bool, pixels of what could move and of the sky; read where a pair begins.

        Returns:
            Whether it belongs to the pair that was begun; if not, give it again with its mask.
        """
        if self._start is None or self._before is None:
            self.frames += 1
            self._begin(grey, avoid)
            return True
        found = optical_flow(self._before, as_bright_as(self._before, grey), self._now, _TOLERANCE)
        start, now = self._start[found.rows], found.second
        if len(now) < LEAST_POINTS:
            self._complete(grey.shape[1])
            return False
        self._start, self._now, self._before = start, now, grey
        self._age += 1
        self.frames += 1
        if self._motion > ENOUGH_MOTION * grey.shape[1] or self._age >= LONGEST:
            self._complete(grey.shape[1])
        return True

    def _begin(self, grey: Grey, avoid: NDArray[np.bool_] | None) -> None:
        points = find_features(grey, near=avoid)
        if len(points) < LEAST_POINTS:
            self.textureless += 1
            return
        self._start = self._now = points
        self._before, self._age = grey, 0

    @property
    def _motion(self) -> float:
        return 0.0 if self._start is None else PointPair(self._start, self._now).motion

    def _complete(self, width: int) -> None:
        if self._start is not None and self._motion > LEAST_MOTION * width:
            self.pairs.append(PointPair(self._start, self._now))
        self._start = None
