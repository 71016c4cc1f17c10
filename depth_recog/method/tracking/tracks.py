# SPDX-License-Identifier: Apache-2.0
"""Features with an identity, followed from frame to frame: corners, pyramidal Lucas-Kanade.

One forward and one backward flow a frame give the correspondences of the newest frame with every
frame that is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.tracking.correspondences import Correspondences, at
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.flow import optical_flow

STATIC = 0
"""Group of what cannot move."""

_SAME_GAIN = 0.03


@dataclass(frozen=True)
class Tracks:
    """The features of one frame.

    Attributes:
        ids: (N,) int64, ascending; the same number is the same feature in another frame.
        pixels: (N, 2) float32, (u, v).
        categories: (N,) uint8, `STATIC`, or the dynamic category on which a feature lies.
        next_id: the first number that no feature has had.
        lost: share of the features of the frame before that were not found again.
    """

    ids: NDArray[np.int64]
    pixels: NDArray[np.float32]
    categories: NDArray[np.uint8]
    next_id: int
    lost: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)


def none_yet() -> Tracks:
    """Before the first frame."""
    return Tracks(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), 0)


def shared(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (M,) into two ascending arrays of ids (not negative) that both have."""
    place = np.searchsorted(first, second)
    two = np.flatnonzero(np.append(first, -1)[place] == second)
    return place[two], two


def common(first: Tracks, second: Tracks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (M,) into `first` and `second` of the features that both have."""
    return shared(first.ids, second.ids)


def correspondences(first: Tracks, second: Tracks) -> Correspondences:
    """Correspondences between two frames of one stream."""
    one, two = common(first, second)
    return Correspondences(first.pixels[one], second.pixels[two], len(first))


def follow(
    tracks: Tracks,
    before: NDArray[np.uint8],
    grey: NDArray[np.uint8],
    categories: NDArray[np.uint8],
    near: NDArray[np.bool_],
    components: NDArray[np.int32] | None = None,
) -> Tracks:
    """Find the features of the frame before in this one, and new ones where some are missing.

    A feature that changes sides (onto what can move, off it, or within `margin` of it) is another
    feature: it slid along an edge, or the masks changed their mind.

    Args:
        tracks: of the frame before; `none_yet()` on a first frame.
        before: (H, W) uint8, the frame before.
        grey: (H, W) uint8, this frame.
        categories: (H, W) uint8, category ids of this frame.
        near: (H, W) bool, dynamic pixels and their margin: no static feature is looked for there.
        components: (H, W) int32, connected components of the dynamic pixels; computed if None.

    Returns:
        The features of this frame; N = 0 on an image without texture.
    """
    kept, lost = tracks, 0.0
    if len(tracks):
        found = optical_flow(before, as_bright_as(before, grey), tracks.pixels)
        lost = 1 - len(found) / len(tracks)
        was = tracks.categories[found.rows]
        same = (at(categories, found.second) == was) & ((was != STATIC) | ~at(near, found.second))
        rows = found.rows[same]
        kept = Tracks(tracks.ids[rows], found.second[same], was[same], tracks.next_id)
    pixels = find_features(grey, categories > STATIC, near, kept.pixels, components)
    ids = np.arange(kept.next_id, kept.next_id + len(pixels))
    return Tracks(
        np.concatenate((kept.ids, ids)),
        np.concatenate((kept.pixels, pixels)),
        np.concatenate((kept.categories, at(categories, pixels))),
        kept.next_id + len(pixels),
        lost,
    )


def as_bright_as(before: NDArray[np.uint8], grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`grey` with the mean and the deviation of `before`, both (H, W) uint8.

    Optical flow takes brightness for constant, and an automatic exposure does not keep it.
    """
    was, is_now = cv2.meanStdDev(before), cv2.meanStdDev(grey)
    if not is_now[1].item():
        return grey
    gain = was[1].item() / is_now[1].item()
    offset = was[0].item() - gain * is_now[0].item()
    if abs(gain - 1) < _SAME_GAIN and abs(gain * 128 + offset - 128) < 128 * _SAME_GAIN:
        return grey  # rounding would cost more than it mends
    table = np.clip(np.rint(gain * np.arange(256) + offset), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table), np.uint8)
