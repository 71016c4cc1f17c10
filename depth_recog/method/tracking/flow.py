# SPDX-License-Identifier: Apache-2.0
"""Where features of I1 are in I2: optical flow, there and back again.

`sparse` follows each feature alone (pyramidal Lucas-Kanade), `dense` reads them from a flow of all
pixels (DIS: Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016). Both answer the
same question, so that one can stand for the other.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.tracking.correspondences import Matches

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]

TOLERANCE = 0.7
"""How far from its start, in pixels, a feature may end after the way back."""
_LK_WINDOW = (9, 9)
_LK_LEVELS = 3
_BORDER = cv2.BORDER_REPLICATE


def sparse(first: Grey, second: Grey, features: Points, tolerance: float = TOLERANCE) -> Matches:
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
        return Matches(features, features, 0)
    there, found = _lucas_kanade(first, second, features)
    back, returned = _lucas_kanade(second, first, there)
    return _checked(features, there, back, found & returned, second.shape, tolerance)


def _lucas_kanade(first: Grey, second: Grey, features: Points) -> tuple[Points, NDArray[np.bool_]]:
    answer = np.zeros_like(features)  # no guess: without a flag for it, this is only written to
    ends, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, features, answer, winSize=_LK_WINDOW, maxLevel=_LK_LEVELS
    )
    return np.asarray(ends, np.float32), found[:, 0] == 1


def dense(first: Grey, second: Grey, features: Points, tolerance: float = TOLERANCE) -> Matches:
    """Dense inverse search there and back again. Arguments and answer as of `sparse`."""
    if not len(features):
        return Matches(features, features, 0)
    there = _moved(features, first, second)
    back = _moved(there, second, first)
    return _checked(features, there, back, np.ones(len(there), np.bool_), second.shape, tolerance)


def _moved(pixels: Points, first: Grey, second: Grey) -> Points:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    empty = np.zeros((0, 0), np.float32)
    field = np.asarray(search.calc(first, second, empty), np.float32)
    # Bilinear, at pixels as if they were an image of one row.
    motion = cv2.remap(field, pixels[None], empty, cv2.INTER_LINEAR, borderMode=_BORDER)[0]
    return np.asarray(pixels + np.asarray(motion), np.float32)


def _checked(
    features: Points,
    there: Points,
    back: Points,
    found: NDArray[np.bool_],
    shape: tuple[int, ...],
    tolerance: float,
) -> Matches:
    height, width = shape
    good: NDArray[np.bool_] = found & (np.linalg.norm(back - features, axis=1) < tolerance)
    good &= (there[:, 0] >= 0) & (there[:, 0] <= width - 1)
    good &= (there[:, 1] >= 0) & (there[:, 1] <= height - 1)
    return Matches(features[good], there[good], len(features), np.flatnonzero(good))


Flow = Callable[[Grey, Grey, Points], Matches]
"""I1, I2 (H, W) uint8, features (N, 2) of I1 -> where they are in I2."""

FLOWS: dict[str, Flow] = {"sparse": sparse, "dense": dense}
