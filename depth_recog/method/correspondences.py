# SPDX-License-Identifier: Apache-2.0
"""Which pixel of I1 is which pixel of I2: sparse optical flow, checked forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)

STATIC_FEATURES = 400
DYNAMIC_FEATURES = 150
_LK_WINDOW = (13, 13)
_LK_LEVELS = 3


@dataclass(frozen=True)
class Matches:
    """Corresponding pixels.

    Attributes:
        first: (N, 2) float32, (u, v) in I1, pixels.
        second: (N, 2) float32, (u, v) in I2, pixels.
        tried: how many features were looked for; N of them were found again.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    tried: int

    def __len__(self) -> int:
        return len(self.first)

    def within(self, keep_first: NDArray[np.bool_], keep_second: NDArray[np.bool_]) -> Matches:
        """Those whose two ends both lie on kept pixels: what masking the images leaves.

        Args:
            keep_first: (H, W) bool, pixels of I1 that are not masked.
            keep_second: (H, W) bool, pixels of I2 that are not masked.
        """
        kept = at(keep_first, self.first) & at(keep_second, self.second)
        tried = int(at(keep_first, self.first).sum())
        return Matches(self.first[kept], self.second[kept], tried)

    @property
    def median_motion(self) -> float:
        """Median length of the displacements in pixels; 0 without any."""
        if not len(self):
            return 0.0
        return float(np.median(np.linalg.norm(self.second - self.first, axis=1)))


def at(image: NDArray[S], pixels: NDArray[np.float32]) -> NDArray[S]:
    """Values of a (H, W) array at (N, 2) pixels (u, v), the nearest one's, clipped to the image."""
    height, width = image.shape
    u = np.clip(np.rint(pixels[:, 0]).astype(int), 0, width - 1)
    v = np.clip(np.rint(pixels[:, 1]).astype(int), 0, height - 1)
    values: NDArray[S] = image[v, u]
    return values


def find_features(
    grey: NDArray[np.uint8], dynamic: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Corners worth tracking: several hundred on the background, more on what could move.

    Args:
        grey: (H, W) uint8.
        dynamic: (H, W) bool, pixels of dynamic categories; they get a share of their own, since
            the background's corners would crowd out a small object's.

    Returns:
        (N, 2) float32 pixels (u, v); N = 0 on an image without texture.
    """
    spacing = max(3.0, grey.shape[1] / 100)
    shares: list[tuple[NDArray[np.uint8] | None, int, float]]
    if dynamic is None or not dynamic.any():
        shares = [(None, STATIC_FEATURES, spacing)]
    else:
        moving = dynamic.astype(np.uint8) * 255
        shares = [(255 - moving, STATIC_FEATURES, spacing), (moving, DYNAMIC_FEATURES, spacing / 2)]
    found = []
    for mask, most, apart in shares:
        corners = cv2.goodFeaturesToTrack(grey, most, 0.005, apart, mask=mask, blockSize=5)
        if corners is not None:
            found.append(corners.reshape(-1, 2))
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, 2), np.float32)


def track(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    features: NDArray[np.float32],
    tolerance: float = 0.7,
) -> Matches:
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
    answer = np.zeros_like(features)  # no guess: without a flag for it, this is only written to
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, features, answer, winSize=_LK_WINDOW, maxLevel=_LK_LEVELS
    )
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        second, first, there, np.zeros_like(there), winSize=_LK_WINDOW, maxLevel=_LK_LEVELS
    )
    height, width = second.shape
    good = (found[:, 0] == 1) & (returned[:, 0] == 1)
    good &= np.linalg.norm(back - features, axis=1) < tolerance
    good &= (there[:, 0] >= 0) & (there[:, 0] <= width - 1)
    good &= (there[:, 1] >= 0) & (there[:, 1] <= height - 1)
    return Matches(features[good], there[good], len(features))
