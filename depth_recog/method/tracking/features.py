# SPDX-License-Identifier: Apache-2.0
"""Find corners (Shi and Tomasi, 1994) and follow them from frame to frame.

`follow` runs the optical flow once forward and once backward per frame; it needs no masks, so it
runs while the networks do. `kept_and_new` then applies the masks. Since features keep their ids,
this gives the correspondences of the newest frame with every earlier frame of the stream.

`find_features` computes corner strength once for the whole image. The background and each connected
component of the dynamic mask have a quota of features of their own, and only one feature is taken
per grid cell: otherwise the strong corners of the background or of a large car would displace those
of a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.masking import components_of
from depth_recog.method.tracking.tracks import (
    STATIC,
    Correspondences,
    Grey,
    Points,
    Tracks,
    as_bright_as,
    at,
    optical_flow,
)

STATIC_FEATURES = 400
"""Largest number of features on the background."""

DENSITY = 1 / 20
FEWEST, MOST = 12, 120
"""Quota of a dynamic component: features per pixel, within these bounds."""

SMALLEST_COMPONENT = 16
"""Smallest component that gets features, pixels."""

_BLOCK = 3
_LARGE = 320
_STATIC_QUALITY = 0.005
_DYNAMIC_QUALITY = 0.0003  # low, so that dark cars beside bright ones get features too
_FAINTEST = 1e-7
_STATIC_CELL_SHARE = 1 / 100
_DYNAMIC_CELL = 3


class Corners(NamedTuple):
    """Corners of an image.

    Attributes:
        pixels: (N, 2) float32, (u, v).
        strength: (N,) float32.
    """

    pixels: Points
    strength: NDArray[np.float32]


@dataclass(frozen=True)
class Followed:
    """What the image alone tells of a frame's features, before its masks are known.

    Attributes:
        tracks: features of the previous frame.
        found: those that the optical flow found in this frame.
        corners: where new features can be.
    """

    tracks: Tracks
    found: Correspondences
    corners: Corners

    @property
    def lost(self) -> float:
        """Share of the previous frame's features that were not found."""
        known = len(self.tracks.ids)
        return 1 - len(self.found) / known if known else 0.0


def follow(tracks: Tracks, before: Grey, grey: Grey) -> Followed:
    """Find the features of the previous frame in this one.

    Args:
        tracks: of the previous frame; `none_yet()` for the first frame.
        before: (H, W) uint8, the previous frame.
        grey: (H, W) uint8, this frame.
    """
    second = as_bright_as(before, grey) if len(tracks) else grey
    found = optical_flow(before, second, tracks.pixels)
    return Followed(tracks, found, _corners(grey))


def kept_and_new(
    followed: Followed,
    categories: NDArray[np.uint8],
    near: NDArray[np.bool_],
    components: NDArray[np.int32] | None = None,
) -> Tracks:
    """Keep the features that the masks allow, and add new ones where some are missing.

    A feature whose category changes, or a static one that comes near a dynamic pixel, is dropped:
    it slid along an edge, or the mask changed.

    Args:
        followed: of this frame.
        categories: (H, W) uint8, category ids of this frame.
        near: (H, W) bool, dynamic pixels and their margin; no static feature is placed there.
        components: (H, W) int32, connected components of the dynamic pixels; computed if None.

    Returns:
        The features of this frame; N = 0 on an image without texture.
    """
    tracks, rows, pixels = followed.tracks, followed.found.rows, followed.found.second
    was = tracks.categories[rows]
    same = (at(categories, pixels) == was) & ((was != STATIC) | ~at(near, pixels))
    kept = Tracks(tracks.ids[rows[same]], pixels[same], was[same], tracks.next_id)
    new = _chosen(followed.corners, categories > STATIC, near, kept.pixels, components)
    return Tracks(
        np.concatenate((kept.ids, np.arange(kept.next_id, kept.next_id + len(new)))),
        np.concatenate((kept.pixels, new)),
        np.concatenate((kept.categories, at(categories, new))),
        kept.next_id + len(new),
        followed.lost,
    )


def find_features(
    grey: NDArray[np.uint8],
    dynamic: NDArray[np.bool_] | None = None,
    near: NDArray[np.bool_] | None = None,
    existing: Points | None = None,
    components: NDArray[np.int32] | None = None,
) -> Points:
    """Select new corners: several hundred on the background, tens on every dynamic component.

    Args:
        grey: (H, W) uint8.
        dynamic: (H, W) bool, pixels of dynamic categories.
        near: (H, W) bool, where no background corner is taken; `dynamic` if None.
        existing: (M, 2) float32 pixels (u, v) already tracked; they count towards the quotas.
        components: (H, W) int32, connected components of `dynamic`; computed if None.

    Returns:
        (N, 2) float32 new pixels (u, v), the background's first; N = 0 on an image without texture.
    """
    existing = np.zeros((0, 2), np.float32) if existing is None else existing
    dynamic = np.zeros(grey.shape, np.bool_) if dynamic is None else dynamic
    near = dynamic if near is None else near
    return _chosen(_corners(grey), dynamic, near, existing, components)


def _chosen(
    corners: Corners,
    dynamic: NDArray[np.bool_],
    near: NDArray[np.bool_],
    existing: Points,
    components: NDArray[np.int32] | None,
) -> Points:
    """Select among the corners of an image; arguments as in `find_features`."""
    components = components_of(dynamic) if components is None else components
    pixels, strength = corners
    columns, rows = pixels.astype(np.intp).T
    owner = components[rows, columns]  # (N,) component of each corner, 0 for the background
    existing_owner = at(components, existing)  # (M,)

    areas = np.bincount(components[dynamic], minlength=1)  # (components + 1,) pixels
    quota = np.clip(areas * DENSITY, FEWEST, MOST).astype(int)
    quota[areas < SMALLEST_COMPONENT] = 0
    quota[0] = STATIC_FEATURES
    quota -= np.bincount(existing_owner, minlength=len(quota))

    strongest = np.zeros(len(quota), np.float32)
    np.maximum.at(strongest, owner, strength)
    least = np.where(owner == 0, _STATIC_QUALITY, _DYNAMIC_QUALITY) * strongest[owner]
    allowed = (strength > least) & (quota[owner] > 0) & ((owner > 0) | ~near[rows, columns])
    usable = np.flatnonzero(allowed)
    # By component, the background (0) first; within one the strongest first.
    order = usable[np.lexsort((-strength[usable], owner[usable]))]

    static_cell = max(3, round(dynamic.shape[1] * _STATIC_CELL_SHARE))
    chosen = []
    for cell, on_background in ((static_cell, True), (_DYNAMIC_CELL, False)):
        candidates = order[(owner[order] == 0) == on_background]
        taken = existing[(existing_owner == 0) == on_background]
        candidates = candidates[_first_in_empty_cell(taken, pixels[candidates], cell)]
        owners = owner[candidates]  # ascending
        rank = np.arange(len(candidates)) - np.searchsorted(owners, owners)
        chosen.append(candidates[rank < quota[owners]])
    selected: Points = pixels[np.concatenate(chosen)]
    return selected


def _corners(grey: Grey) -> Corners:
    """Return the local maxima of corner strength, row by row.

    A large image is searched at half its size: tracking does not need the exact maximum.
    """
    step = 2 if grey.shape[1] >= _LARGE else 1
    small = cv2.resize(grey, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    strength = cv2.cornerMinEigenVal(small, _BLOCK if step > 1 else _BLOCK + 2)
    maxima = strength == cv2.dilate(strength, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(maxima & (strength > _FAINTEST))
    pixels = np.stack((step * columns, step * rows), 1).astype(np.float32)
    return Corners(pixels, np.asarray(strength[rows, columns], np.float32))


def _first_in_empty_cell(existing: Points, pixels: Points, cell: int) -> NDArray[np.intp]:
    """Return the indices of those (N, 2) pixels that are first in a cell without existing pixels.

    Cells are squares of `cell` x `cell` pixels.
    """
    u, v = (np.rint(np.concatenate((existing, pixels))).astype(np.int64) // cell).T
    _, first = np.unique(v * 100_000 + u, return_index=True)
    return np.sort(first[first >= len(existing)]) - len(existing)
