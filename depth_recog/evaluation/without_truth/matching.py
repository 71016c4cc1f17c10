# SPDX-License-Identifier: Apache-2.0
"""Corresponding points of two frames, followed through the frames between them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.tracking.tracks import Correspondences, as_bright_as, at

MOST_POINTS = 1500
_QUALITY = 0.002
_APART = 1 / 110
_WINDOW = (15, 15)
_LEVELS = 4
_RETURNED = 0.5
"""Largest distance, pixels, between a point and where the backward flow returns it to."""
_CHANGED = 0.75
"""Least correlation of a point's surroundings in both frames."""

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]


class Follower:
    """Follows the corners of one view through those that come after it, in order of time.

    Args:
        first: where the corners are found, on static pixels.
    """

    def __init__(self, first: View) -> None:
        self._first = first
        self._corners = _corners(first)
        self._ends = self._corners.copy()
        self._before = first.grey

    def next(self, view: View) -> Correspondences:
        """Return the correspondences of the first view and this one, both ends on static pixels.

        The chain of short flows is only the start: the flow is searched once more from the first
        view to this one, forward and backward, so that errors do not add up.
        """
        if not len(self._corners):
            return Correspondences(self._corners, self._corners, 0)
        bright = as_bright_as(self._before, view.grey)
        self._ends, _ = _flow(self._before, bright, self._ends, self._ends.copy())
        self._before = view.grey
        first, second = self._first.grey, as_bright_as(self._first.grey, view.grey)
        there, found = _flow(first, second, self._corners, self._ends.copy())
        back, returned = _flow(second, first, there, self._corners.copy())
        good = found & returned & (np.linalg.norm(back - self._corners, axis=1) < _RETURNED)
        height, width = second.shape
        good &= (there >= 0).all(1) & (there <= (width - 1, height - 1)).all(1)
        good &= at(view.static, there)
        good[good] = _alike(first, second, self._corners[good], there[good])
        rows = np.flatnonzero(good)
        return Correspondences(self._corners[rows], there[rows], len(self._corners), rows)


def matches(views: Sequence[View]) -> Correspondences:
    """Return the correspondences of the first and the last of several views."""
    follower = Follower(views[0])
    found = follower.next(views[1])
    for view in views[2:]:
        found = follower.next(view)
    return found


def _corners(view: View) -> Points:
    apart = max(3.0, view.camera.width * _APART)
    mask = view.static.astype(np.uint8)
    found = cv2.goodFeaturesToTrack(view.grey, MOST_POINTS, _QUALITY, apart, mask=mask)
    if found is None:
        return np.zeros((0, 2), np.float32)
    return np.asarray(found, np.float32).reshape(-1, 2)


def _flow(
    first: Grey, second: Grey, points: Points, guess: Points
) -> tuple[Points, NDArray[np.bool_]]:
    """Return (N, 2) end points and (N,) bool, whether each was found."""
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        guess,
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(ends, np.float32), found[:, 0] == 1


def _alike(first: Grey, second: Grey, one: Points, two: Points) -> NDArray[np.bool_]:
    """Return (N,) bool, whether the surroundings of corresponding points correlate."""
    size = 9
    offsets = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2) - size // 2

    def patches(image: Grey, points: Points) -> NDArray[np.float64]:
        places = (points[:, None] + offsets).astype(np.float32)
        u, v = places[..., 0], places[..., 1]
        found = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values = found.astype(np.float64)
        values -= values.mean(1, keepdims=True)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))

    if not len(one):
        return np.zeros(0, np.bool_)
    return np.asarray((patches(first, one) * patches(second, two)).sum(1) > _CHANGED)
