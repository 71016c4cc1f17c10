# SPDX-License-Identifier: Apache-2.0
"""Which pixels are worth finding again in other frames: Shi and Tomasi's corners, shared out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

STATIC_FEATURES = 400
"""At most so many on the background."""
REGION_FEATURES = 40
"""At most so many on each connected region of what could move."""
LEAST_REGION = 16
"""Pixels; a smaller region holds no motion that could be measured."""
_QUALITY = 0.005
_BLOCK = 5


def find_features(
    grey: NDArray[np.uint8], dynamic: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Corners worth tracking: several hundred on the background, tens on every dynamic region.

    A region's corners are compared with one another alone: the background's are stronger than a
    pedestrian's, and so are a large car's.

    Args:
        grey: (H, W) uint8.
        dynamic: (H, W) bool, pixels of dynamic categories.

    Returns:
        (N, 2) float32 pixels (u, v), the background's first; N = 0 on an image without texture.
    """
    spacing = max(3.0, grey.shape[1] / 100)
    if dynamic is None or not dynamic.any():
        return _corners(grey, None, STATIC_FEATURES, spacing)
    movable = dynamic.astype(np.uint8)
    found = [_corners(grey, 1 - movable, STATIC_FEATURES, spacing)]
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(movable, connectivity=8)
    for region in range(1, count):
        left, top, width, height, area = boxes[region]
        if area < LEAST_REGION:
            continue
        # With what is around it: corners are sought over blocks of pixels.
        x, y = max(left - _BLOCK, 0), max(top - _BLOCK, 0)
        window = np.s_[y : top + height + _BLOCK, x : left + width + _BLOCK]
        mask = (labels[window] == region).astype(np.uint8)
        apart = min(spacing / 2, max(1.5, (area / REGION_FEATURES) ** 0.5))
        inside = _corners(grey[window], mask, REGION_FEATURES, apart)
        found.append(inside + np.array((x, y), np.float32))
    return np.concatenate(found)


def _corners(
    grey: NDArray[np.uint8], mask: NDArray[np.uint8] | None, most: int, apart: float
) -> NDArray[np.float32]:
    found = cv2.goodFeaturesToTrack(grey, most, _QUALITY, apart, mask=mask, blockSize=_BLOCK)
    if found is None:
        return np.zeros((0, 2), np.float32)
    return np.asarray(found, np.float32).reshape(-1, 2)
