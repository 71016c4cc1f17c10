# SPDX-License-Identifier: Apache-2.0
"""Augmentation: random views of a frame, with the intrinsics and the motion carried along."""

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
"""Takes a point to where the mirrored camera sees it, and back."""


@dataclass(frozen=True)
class View:
    """The same random zoom, crop and flip for every frame of a sample."""

    width: int
    height: int
    zoom: float
    x: int
    y: int
    flip: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, int], most: float) -> View:
        """A random view of frames of `size` (width, height), zoomed by 1 to `most`."""
        zoom = float(rng.uniform(1, most)) if rng.random() < 0.5 else 1.0
        width, height = round(size[0] * zoom), round(size[1] * zoom)
        x, y = rng.integers(width - size[0] + 1), rng.integers(height - size[1] + 1)
        return cls(*size, zoom, int(x), int(y), bool(rng.random() < 0.5))

    @property
    def enlarged(self) -> tuple[int, int]:
        """(width, height) before the crop."""
        return round(self.width * self.zoom), round(self.height * self.zoom)

    def frame(self, image: NDArray[S], interpolation: int) -> NDArray[S]:
        """Apply to an image, a label map or a depth map, of this aspect and any size."""
        if image.shape[1::-1] != self.enlarged:
            resized = cv2.resize(image, self.enlarged, interpolation=interpolation)
            image = np.asarray(resized, image.dtype)
        image = image[self.y : self.y + self.height, self.x : self.x + self.width]
        return np.ascontiguousarray(image[:, ::-1] if self.flip else image)

    def intrinsics(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """K of the view."""
        k = matrix.copy()
        sx, sy = self.enlarged[0] / self.width, self.enlarged[1] / self.height
        k[0, 0] *= sx
        k[1, 1] *= sy
        k[0, 2] = (k[0, 2] + 0.5) * sx - 0.5 - self.x
        k[1, 2] = (k[1, 2] + 0.5) * sy - 0.5 - self.y
        if self.flip:
            k[0, 2] = self.width - 1 - k[0, 2]
        return k

    def motion(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The motion as the mirrored camera sees it."""
        return MIRROR @ matrix @ MIRROR if self.flip else matrix


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float, 0..1."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def draw_colours(rng: np.random.Generator, count: int, strength: float) -> Tensor:
    """(count, 4) float32 factors for saturation, contrast, brightness and gamma."""
    return torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (count, 4))).float()


def coloured(images: Tensor, factors: Tensor) -> Tensor:
    """Images (B, 3, H, W) float, 0..1, changed by (B, 4) `factors`, each image by its own."""
    saturation, contrast, brightness, gamma = factors.view(-1, 4, 1, 1, 1).unbind(1)
    grey = images.mean(1, keepdim=True)
    x = grey + (images - grey) * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * contrast + mean) * brightness
    return x.clamp(1e-3, 1) ** gamma


def jitter(rng: np.random.Generator, images: Tensor, strength: float = 0.2) -> Tensor:
    """Random saturation, contrast, brightness and gamma: (B, 3, H, W), each image its own."""
    return coloured(images, draw_colours(rng, len(images), strength))
