# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a frame are worth finding again in others: Shi and Tomasi's corners, shared out.

The corners of the image are computed once. The background and each connected component of the
dynamic mask have a quota each, and are divided into cells that give one corner: the background's
corners are stronger than a pedestrian's, and so are a large car's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.masking import components_of
from depth_recog.method.tracking.correspondences import at

Pixels = NDArray[np.float32]

STATIC_FEATURES = 400
"""At most so many on the background."""

DENSITY = 1 / 20
FEWEST, MOST = 12, 120
"""On a component of what could move: one for 20 pixels, within these bounds."""

SMALLEST_COMPONENT = 16
"""Pixels; a smaller component holds no motion that could be measured."""

_BLOCK = 3
_LARGE = 320
_STATIC_QUALITY = 0.005
_DYNAMIC_QUALITY = 0.0003  # dark cars beside bright ones count as well
_FAINTEST = 1e-7
_STATIC_CELL_SHARE = 1 / 100
_DYNAMIC_CELL = 3


def find_features(
    grey: NDArray[np.uint8],
    dynamic: NDArray[np.bool_] | None = None,
    near: NDArray[np.bool_] | None = None,
    existing: Pixels | None = None,
    components: NDArray[np.int32] | None = None,
) -> Pixels:
    """Corners worth tracking: several hundred on the background, tens on every dynamic component.

    Args:
        grey: (H, W) uint8.
        dynamic: (H, W) bool, pixels of dynamic categories.
        near: (H, W) bool, where no corner of the background is taken; None: nowhere on `dynamic`.
        existing: (M, 2) float32 pixels (u, v) that are followed already: they count.
        components: (H, W) int32, of `dynamic`, where somebody knows them already.

    Returns:
        (N, 2) float32 new pixels (u, v), the background's first; N = 0 on an image without texture.
    """
    existing = np.zeros((0, 2), np.float32) if existing is None else existing
    dynamic = np.zeros(grey.shape, np.bool_) if dynamic is None else dynamic
    near = dynamic if near is None else near
    components = components_of(dynamic) if components is None else components
    # A large picture at half its size: where exactly a textured window lies matters not.
    step = 2 if grey.shape[1] >= _LARGE else 1
    seen = cv2.resize(grey, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    strength = cv2.cornerMinEigenVal(seen, _BLOCK if step > 1 else _BLOCK + 2)
    summits = strength == cv2.dilate(strength, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(summits & (strength > _FAINTEST))
    value = np.asarray(strength[rows, columns], np.float32)
    rows, columns = step * rows, step * columns
    pixels = np.stack((columns, rows), 1).astype(np.float32)
    owner, owned = components[rows, columns], at(components, existing)
    areas = np.bincount(components[dynamic], minlength=1)
    quota = np.where(areas < SMALLEST_COMPONENT, 0, np.clip(areas * DENSITY, FEWEST, MOST)).astype(
        int
    )
    quota[0] = STATIC_FEATURES
    quota -= np.bincount(owned, minlength=len(quota))
    strongest = np.zeros(len(quota), np.float32)
    np.maximum.at(strongest, owner, value)
    least = np.where(owner == 0, _STATIC_QUALITY, _DYNAMIC_QUALITY) * strongest[owner]
    usable = (value > least) & (quota[owner] > 0)
    background = np.flatnonzero(usable & (owner == 0) & ~near[rows, columns])
    cell = max(3, round(grey.shape[1] * _STATIC_CELL_SHARE))
    chosen = [_within(background, pixels, value, owner, quota, cell, existing[owned == 0])]
    component = np.flatnonzero(usable & (owner > 0))
    chosen.append(
        _within(component, pixels, value, owner, quota, _DYNAMIC_CELL, existing[owned > 0])
    )
    return pixels[np.concatenate(chosen)]


def _within(
    candidates: NDArray[np.intp],
    pixels: Pixels,
    value: NDArray[np.float32],
    owner: NDArray[np.int32],
    quota: NDArray[np.intp],
    cell: int,
    existing: Pixels,
) -> NDArray[np.intp]:
    """The strongest candidate of each cell that is still empty, as many as the quotas allow."""
    order = candidates[np.lexsort((-value[candidates], owner[candidates]))]
    # Of a cell's features the first one counts: one that exists, else the strongest candidate.
    cells = _cells(np.concatenate((existing, pixels[order])), cell)
    _, first = np.unique(cells, return_index=True)
    order = order[np.sort(first[first >= len(existing)]) - len(existing)]
    owners = owner[order]
    rank = np.arange(len(order)) - np.searchsorted(owners, owners)
    return order[rank < quota[owners]]


def _cells(pixels: Pixels, cell: int) -> NDArray[np.int64]:
    """A number for the square of `cell` pixels in which each pixel lies."""
    where = np.rint(pixels).astype(np.int64) // cell
    numbers: NDArray[np.int64] = where[:, 1] * 100_000 + where[:, 0]
    return numbers
