# SPDX-License-Identifier: Apache-2.0
"""Where the features of I1 are in I2: pyramidal Lucas-Kanade, checked by the way back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.tracking.correspondences import Correspondences

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]

TOLERANCE = 0.7
"""How far from its start, in pixels, a feature may end after the way back."""
_LK_WINDOW = (9, 9)
_LK_LEVELS = 3


def optical_flow(
    first: Grey, second: Grey, features: Points, tolerance: float = TOLERANCE
) -> Correspondences:
    """Pyramidal Lucas-Kanade there and back again.

    Args:
        first: (H, W) uint8, I1 in grey.
        second: (H, W) uint8, I2 in grey.
        features: (N, 2) float32 pixels (u, v) in I1.
        tolerance: how far from its start, in pixels, a feature may end after the way back.

    Returns:
        The features that came back and lie inside I2.
    """
    if not len(features):
        return Correspondences(features, features, 0)
    there, found = _lucas_kanade(first, second, features)
    back, returned = _lucas_kanade(second, first, there)
    return _checked(features, there, back, found & returned, second.shape, tolerance)


def _lucas_kanade(first: Grey, second: Grey, features: Points) -> tuple[Points, NDArray[np.bool_]]:
    answer = np.zeros_like(features)  # no guess: without a flag for it, this is only written to
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, features, answer, winSize=_LK_WINDOW, maxLevel=_LK_LEVELS
    )
    return np.asarray(ends, np.float32), found[:, 0] == 1


def _checked(
    features: Points,
    there: Points,
    back: Points,
    found: NDArray[np.bool_],
    shape: tuple[int, ...],
    tolerance: float,
) -> Correspondences:
    height, width = shape
    good: NDArray[np.bool_] = found & (np.linalg.norm(back - features, axis=1) < tolerance)
    good &= (there[:, 0] >= 0) & (there[:, 0] <= width - 1)
    good &= (there[:, 1] >= 0) & (there[:, 1] <= height - 1)
    return Correspondences(features[good], there[good], len(features), np.flatnonzero(good))
