# SPDX-License-Identifier: Apache-2.0
"""Triangulated points as pseudo-labels: sharp depth of what stands, where two frames show it.

The photometric error says little where texture is poor or far away, and a network can lower it
while the road sinks. A point that is matched in two frames has a depth with a known deviation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.agreement import balanced
from depth_recog.evaluation.without_truth.points import Evidence, Points, evidence_of
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import UNLABELLED, PresetRules
from depth_recog.training.data.augmentation import Augmentation
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.triplets import Triplet

MOST = 400
"""Points that are kept of a frame."""

_LONGEST = 6
"""Most frames between a frame and its partner."""
_LEAST = 20
"""Points that a crop must show for its median to be known."""


class PointFinder:
    """Triangulates static points of each frame of a recording with a later one, at full size.

    At the size of the training a far point moves by a part of a pixel only.

    Args:
        size: (width, height) of the training, pixels: the points are in pixels of that size.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._views: deque[View] = deque()

    def add(self, view: View) -> Iterator[NDArray[np.float32]]:
        """Take the next frame; yield the `table` of each frame that needs no later ones."""
        self._views.append(view)
        if len(self._views) > _LONGEST:
            yield self._first()

    def rest(self) -> Iterator[NDArray[np.float32]]:
        """Yield the tables of the last frames."""
        while self._views:
            yield self._first()

    def _first(self) -> NDArray[np.float32]:
        views = list(self._views)
        found = evidence_of(views).points if len(views) > 1 else None
        first = self._views.popleft()
        recorded = first.world_from_camera is not None
        if found is None or (recorded and found.metres is None):
            return np.zeros((MOST, 3), np.float32)
        return table(found, first.camera.size, self._size)


def table(
    points: Points, size: tuple[int, int], wanted: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return points as training stores them.

    Args:
        points: of a frame.
        size: (width, height) of the images in which they were found, pixels.
        wanted: size whose pixels the result has; None for the same.

    Returns:
        (`MOST`, 3): column, row in pixels, and depth: metres where the motion is recorded, else up
        to one factor. Rows without a point are zero.
    """
    rows = np.zeros((MOST, 3), np.float32)
    chosen = np.linspace(0, len(points) - 1, min(MOST, len(points))).round().astype(int)
    scale = np.array(wanted or size) / size
    rows[: len(chosen), :2] = (points.pixels[chosen] + 0.5) * scale - 0.5
    rows[: len(chosen), 2] = points.depth[chosen] * (points.metres or 1.0)
    return rows


def evidence_in(
    frames: PreparedFrames,
    rules: PresetRules,
    with_poses: bool = False,
    seen: NDArray[np.bool_] | None = None,
) -> Callable[[int], Evidence]:
    """Return a function of a frame's number: what that frame and a later one tell without a depth.

    Args:
        frames: of one recording.
        rules: say which pixels could move; there are no points there.
        with_poses: use the recorded poses, for metres.
        seen: (H, W) bool, pixels that the camera has seen in all frames; None for all.

    Returns:
        The function; not for the last frame. The second view's name is its number.
    """
    camera = Camera.from_matrix(frames.intrinsics[0], *frames.size)

    @lru_cache(maxsize=2 * _LONGEST)
    def view(index: int) -> View:
        labels = np.array(frames.labels[index])
        if seen is not None:
            labels[~seen] = UNLABELLED
        stamp, image = int(frames.stamps[index]), np.asarray(frames.images[index])
        made = View.of(str(index), stamp, image, camera, labels, rules)
        return made.with_pose(frames.poses[index]) if with_poses else made

    def evidence(first: int) -> Evidence:
        last = min(first + _LONGEST, len(frames) - 1)
        return evidence_of([view(i) for i in range(first, last + 1)])

    return evidence


def points_of(
    frames: PreparedFrames,
    triplets: list[Triplet],
    rules: PresetRules,
    seen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Triangulate static points of every triplet's frame with a later frame, at the frames' size.

    Args:
        frames: of one recording.
        triplets: of these frames.
        rules: say which pixels could move; there are no points there.
        seen: (H, W) bool, pixels that the camera has seen in all frames; None for all.

    Returns:
        (triplets, `MOST`, 3), a `table` for each.
    """
    evidence = evidence_in(frames, rules, frames.posed, seen)
    tables = np.zeros((len(triplets), MOST, 3), np.float32)
    for rows, triplet in zip(tables, triplets, strict=True):
        found = evidence(triplet.index).points if triplet.index < len(frames) - 1 else None
        if found is not None:
            rows[:] = table(found, frames.size)
    return tables


def in_crop(
    points: NDArray[np.float32], augmentation: Augmentation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points after an augmentation, and their weights.

    Args:
        points: (N, 3) column, row, depth; zero depth for none.
        augmentation: of the frame.

    Returns:
        (N, 3) in pixels of the crop, and (N,) weights with the sum 1 that make all intervals of
        log depth count the same; all zero where the crop shows too few points.
    """
    moved = points.copy()
    moved[:, :2] = augmentation.pixels(points[:, :2])
    inside = (moved[:, :2] >= 0).all(1) & (moved[:, 0] <= augmentation.width - 1)
    inside &= (moved[:, 1] <= augmentation.height - 1) & (points[:, 2] > 0)
    weights = np.zeros(len(points), np.float32)
    if inside.sum() >= _LEAST:
        share = balanced(points[inside, 2].astype(np.float64))
        weights[inside] = share / share.sum()
    return np.where(weights[:, None] > 0, moved, 0).astype(np.float32), weights
