# SPDX-License-Identifier: Apache-2.0
"""Which pixel of I1 is which pixel of I2; `flow` finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.median import median

S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True)
class Correspondences:
    """Corresponding pixels.

    Attributes:
        first: (N, 2) float32, (u, v) in I1, pixels.
        second: (N, 2) float32, (u, v) in I2, pixels.
        tried: how many features were looked for; N of them were found again.
        rows: (N,) which of the features that were looked for these are; empty where nobody knows.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    tried: int
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))

    def __len__(self) -> int:
        return len(self.first)

    def within(
        self, keep_first: NDArray[np.bool_], keep_second: NDArray[np.bool_]
    ) -> Correspondences:
        """Those whose two ends both lie on kept pixels: what masking the images leaves.

        Args:
            keep_first: (H, W) bool, pixels of I1 that are not masked.
            keep_second: (H, W) bool, pixels of I2 that are not masked.
        """
        sought = at(keep_first, self.first)
        kept = sought & at(keep_second, self.second)
        return Correspondences(self.first[kept], self.second[kept], int(sought.sum()))

    @property
    def median_motion(self) -> float:
        """Median length of the displacements in pixels; 0 without any."""
        if not len(self):
            return 0.0
        return median(np.hypot(*(self.second - self.first).T))


def at(image: NDArray[S], pixels: NDArray[np.float32]) -> NDArray[S]:
    """Values of a (H, W) array at (N, 2) pixels (u, v), the nearest one's, clipped to the image."""
    u, v = nearest_pixels(pixels, image.shape)
    values: NDArray[S] = image[v, u]
    return values


def nearest_pixels(
    pixels: NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows (N,) of (H, W) nearest to (N, 2) pixels (u, v), clipped to the image."""
    height, width = shape
    u, v = np.clip(np.rint(pixels).astype(int), 0, (width - 1, height - 1)).T
    return u, v
