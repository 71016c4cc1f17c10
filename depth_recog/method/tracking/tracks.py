# SPDX-License-Identifier: Apache-2.0
"""Tracked features, correspondences between two frames, and the optical flow that finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]
S = TypeVar("S", bound=np.generic)

STATIC = 0
"""Category id of everything that cannot move."""

TOLERANCE = 0.7
"""Largest distance, in pixels, between a feature and where the backward flow returns it to."""

_LK_WINDOW = (9, 9)
_LK_LEVELS = 3
_SAME_GAIN = 0.03


def at(image: NDArray[S], pixels: NDArray[np.float32]) -> NDArray[S]:
    """Return the values (N,) of a (H, W) array at the pixels nearest to (N, 2) points (u, v)."""
    u, v = nearest_pixels(pixels, image.shape)
    values: NDArray[S] = image[v, u]
    return values


def nearest_pixels(
    pixels: NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return columns and rows (N,) nearest to (N, 2) points (u, v), clipped to the image."""
    height, width = shape
    u, v = np.clip(np.rint(pixels).astype(int), 0, (width - 1, height - 1)).T
    return u, v


@dataclass(frozen=True)
class Correspondences:
    """Corresponding pixels of two frames.

    Attributes:
        first: (N, 2) float32, (u, v) in I1, pixels.
        second: (N, 2) float32, (u, v) in I2, pixels.
        tried: number of features that were searched for; N of them were found.
        rows: (N,) indices of the found features among those searched for; empty if unknown.
    """

    first: Points
    second: Points
    tried: int
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))

    def __len__(self) -> int:
        return len(self.first)

    def within(
        self, keep_first: NDArray[np.bool_], keep_second: NDArray[np.bool_]
    ) -> Correspondences:
        """Select the correspondences with both ends on unmasked pixels.

        Args:
            keep_first: (H, W) bool, pixels of I1 that are not masked.
            keep_second: (H, W) bool, pixels of I2 that are not masked.
        """
        tried = at(keep_first, self.first)
        kept = tried & at(keep_second, self.second)
        rows = self.rows[kept] if len(self.rows) else self.rows
        return Correspondences(self.first[kept], self.second[kept], int(tried.sum()), rows)

    @property
    def median_motion(self) -> float:
        """Median length of the displacements in pixels; 0 without correspondences."""
        if not len(self):
            return 0.0
        return float(np.median(np.hypot(*(self.second - self.first).T)))


@dataclass(frozen=True)
class Tracks:
    """The features of one frame.

    Attributes:
        ids: (N,) int64 feature ids, ascending; a feature has the same id in every frame.
        pixels: (N, 2) float32, (u, v).
        categories: (N,) uint8, `STATIC` or the id of the dynamic category that a feature lies on.
        next_id: the first id that was never used.
        lost: share of the previous frame's features that were not found.
    """

    ids: NDArray[np.int64]
    pixels: Points
    categories: NDArray[np.uint8]
    next_id: int
    lost: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)


def none_yet() -> Tracks:
    """Return the empty tracks that precede the first frame."""
    return Tracks(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), 0)


def shared(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return indices (M,) into two ascending arrays of ids (>= 0) of the ids that both contain."""
    place = np.searchsorted(first, second)
    two = np.flatnonzero(np.append(first, -1)[place] == second)
    return place[two], two


def correspondences(first: Tracks, second: Tracks) -> Correspondences:
    """Return the correspondences between two frames of one stream."""
    one, two = shared(first.ids, second.ids)
    return Correspondences(first.pixels[one], second.pixels[two], len(first), one)


def optical_flow(
    first: Grey, second: Grey, features: Points, tolerance: float = TOLERANCE
) -> Correspondences:
    """Follow features by pyramidal Lucas-Kanade, forward and backward.

    Args:
        first: (H, W) uint8, I1 in grey.
        second: (H, W) uint8, I2 in grey.
        features: (N, 2) float32 pixels (u, v) in I1.
        tolerance: largest distance in pixels between a feature and where the backward flow ends.

    Returns:
        The features that were found inside I2.
    """
    if not len(features):
        return Correspondences(features, features, 0)
    there, found = _lucas_kanade(first, second, features)
    back, returned = _lucas_kanade(second, first, there)
    height, width = second.shape
    good = found & returned & (np.linalg.norm(back - features, axis=1) < tolerance)
    good &= (there[:, 0] >= 0) & (there[:, 0] <= width - 1)
    good &= (there[:, 1] >= 0) & (there[:, 1] <= height - 1)
    rows = np.flatnonzero(good)
    return Correspondences(features[rows], there[rows], len(features), rows)


def _lucas_kanade(first: Grey, second: Grey, features: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Return (N, 2) end points and (N,) bool, whether each was found."""
    output = np.zeros_like(features)
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, features, output, winSize=_LK_WINDOW, maxLevel=_LK_LEVELS
    )
    return np.asarray(ends, np.float32), found[:, 0] == 1


def as_bright_as(before: Grey, grey: Grey) -> Grey:
    """Return `grey` with the mean and standard deviation of `before`; both (H, W) uint8.

    Optical flow assumes constant brightness, which an automatic exposure does not keep.
    """
    was, is_now = cv2.meanStdDev(before), cv2.meanStdDev(grey)
    if not is_now[1].item():
        return grey
    gain = was[1].item() / is_now[1].item()
    offset = was[0].item() - gain * is_now[0].item()
    if abs(gain - 1) < _SAME_GAIN and abs(gain * 128 + offset - 128) < 128 * _SAME_GAIN:
        return grey  # so small a change is less harmful than rounding every pixel
    table = np.clip(np.rint(gain * np.arange(256) + offset), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table), np.uint8)
