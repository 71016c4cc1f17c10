# SPDX-License-Identifier: Apache-2.0
"""Augmentation: random zoom, crop, flip and colours; intrinsics and motion change accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

S = TypeVar("S", np.uint8, np.float32)

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
"""Maps points between a camera and its mirror image (x is negated)."""


@dataclass(frozen=True)
class Augmentation:
    """The zoom, crop and flip that all frames of a training sample share.

    Attributes:
        width, height: of the result, pixels.
        zoom: factor by which frames are enlarged before the crop.
        x, y: left column and top row of the crop, pixels of the enlarged frame.
        flip: whether left and right are exchanged, after the crop.
    """

    width: int
    height: int
    zoom: float = 1.0
    x: int = 0
    y: int = 0
    flip: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, int], most: float) -> Augmentation:
        """Draw at random, for frames of `size` (width, height) and zooms of 1 to `most`."""
        zoom = float(rng.uniform(1, most)) if rng.random() < 0.5 else 1.0
        width, height = round(size[0] * zoom), round(size[1] * zoom)
        x, y = rng.integers(width - size[0] + 1), rng.integers(height - size[1] + 1)
        return cls(*size, zoom, int(x), int(y), bool(rng.random() < 0.5))

    @property
    def enlarged(self) -> tuple[int, int]:
        """(width, height) before the crop."""
        return round(self.width * self.zoom), round(self.height * self.zoom)

    def apply(self, image: NDArray[S], interpolation: int) -> NDArray[S]:
        """Augment an image, a label map or a depth map of the same aspect and any size."""
        if image.shape[1::-1] != self.enlarged:
            resized = cv2.resize(image, self.enlarged, interpolation=interpolation)
            image = np.asarray(resized, image.dtype)
        image = image[self.y : self.y + self.height, self.x : self.x + self.width]
        return np.ascontiguousarray(image[:, ::-1] if self.flip else image)

    def intrinsics(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """K after the augmentation, from K (3, 3) of a frame of (width, height)."""
        k = matrix.copy()
        sx, sy = self.enlarged[0] / self.width, self.enlarged[1] / self.height
        k[0, 0] *= sx
        k[1, 1] *= sy
        k[0, 2] = (k[0, 2] + 0.5) * sx - 0.5 - self.x
        k[1, 2] = (k[1, 2] + 0.5) * sy - 0.5 - self.y
        if self.flip:
            k[0, 2] = self.width - 1 - k[0, 2]
        return k

    def pixels(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        """Places (N, 2) after the augmentation, column and row, from those in the frame."""
        sx, sy = self.enlarged[0] / self.width, self.enlarged[1] / self.height
        moved = (places + 0.5) * np.array((sx, sy)) - 0.5 - np.array((self.x, self.y))
        if self.flip:
            moved[:, 0] = self.width - 1 - moved[:, 0]
        return np.asarray(moved, np.float32)

    def motion(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The motion (4, 4) of the mirrored camera where frames are flipped."""
        return MIRROR @ matrix @ MIRROR if self.flip else matrix


def draw_colours(rng: np.random.Generator, count: int, strength: float) -> Tensor:
    """(count, 4) float32 factors for saturation, contrast, brightness and gamma."""
    return torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (count, 4))).float()


def coloured(images: Tensor, factors: Tensor) -> Tensor:
    """Change the colours of images (B, 3, H, W) float, 0..1, by `factors` (B, 4)."""
    saturation, contrast, brightness, gamma = factors.view(-1, 4, 1, 1, 1).unbind(1)
    grey = images.mean(1, keepdim=True)
    x = grey + (images - grey) * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * contrast + mean) * brightness
    return x.clamp(1e-3, 1) ** gamma
