# SPDX-License-Identifier: Apache-2.0
"""Block 103, claim 2: scores to categories, categories to static and dynamic images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.errors import ConfigurationError

CITYSCAPES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The k preset objects, where the mask network names no others; the index is the class id."""

DYNAMIC = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""The preset rules' default: means of transport and living things can move."""

ROAD = ("road",)
GROUND = ("road", "sidewalk", "terrain")
"""What things stand on, and the flat part of it."""

SKY = CITYSCAPES.index("sky")


CATEGORIES = (
    ("car", "truck", "bus", "train"),
    ("person", "rider", "motorcycle", "bicycle"),
)
"""Classes that a network confuses, or that move together: one category to the gate."""


@dataclass(frozen=True)
class PresetRules:
    """Which preset objects belong to dynamic categories; the others are static.

    Attributes:
        classes: names of the preset objects, by class id.
        dynamic: names of those that can move.
        categories: names of dynamic classes that count as one category; a dynamic class that is
            named in none is a category of its own.

    Raises:
        ConfigurationError: a dynamic name that is not a preset object.
    """

    classes: tuple[str, ...] = CITYSCAPES
    dynamic: tuple[str, ...] = DYNAMIC
    categories: tuple[tuple[str, ...], ...] = CATEGORIES

    def __post_init__(self) -> None:
        unknown = [name for name in self.dynamic if name not in self.classes]
        if unknown:
            raise ConfigurationError(
                f"dynamic class {unknown[0]!r} is not one of the preset objects: "
                f"{', '.join(self.classes)}"
            )

    def category_ids(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) class ids to (H, W) uint8: 0 on static classes, else the category id from 1."""
        table = np.zeros(256, np.uint8)
        ids: dict[tuple[str, ...], int] = {}
        for name in self.dynamic:
            category = next((c for c in self.categories if name in c), (name,))
            table[self.classes.index(name)] = ids.setdefault(category, len(ids) + 1)
        return np.asarray(cv2.LUT(labels, table), np.uint8)

    def pixels_of(self, labels: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.bool_]:
        """(H, W) class ids to (H, W) bool: those of `names` that are preset objects at all."""
        table = np.zeros(256, np.uint8)
        table[[self.classes.index(name) for name in names if name in self.classes]] = 1
        return np.asarray(cv2.LUT(labels, table), np.uint8).view(np.bool_)

    def dynamic_pixels(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(H, W) class ids to (H, W) bool, True on dynamic categories."""
        return self._pixels(labels, self.dynamic)

    def sky_pixels(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(H, W) class ids to (H, W) bool, True on the sky; nowhere without such a class."""
        return self._pixels(labels, ("sky",) if "sky" in self.classes else ())

    def _pixels(self, labels: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.bool_]:
        table = np.zeros(256, dtype=np.bool_)
        table[[self.classes.index(name) for name in names]] = True
        return table[labels]

    def train_ids(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) class ids to (H, W) Cityscapes train ids by name, 255 for names it lacks."""
        table = np.full(256, 255, np.uint8)
        for index, name in enumerate(self.classes):
            table[index] = CITYSCAPES.index(name) if name in CITYSCAPES else 255
        return table[labels]


def class_probabilities(scores: Tensor) -> Tensor:
    """S_i = exp(z_i) / sum_j exp(z_j), over the classes of a pixel.

    The text's sum runs over pixels by a slip: probabilities of a pixel's categories must add to 1.

    Args:
        scores: (B, k, H, W) float.

    Returns:
        (B, k, H, W), summing to 1 over the second dimension.
    """
    return torch.softmax(scores, 1)


def pixel_objects(probabilities: Tensor) -> Tensor:
    """The preset object with the largest category probability.

    Args:
        probabilities: (B, k, H, W) float.

    Returns:
        (B, H, W) uint8 class ids.
    """
    return probabilities.argmax(1).to(torch.uint8)


def masked_image(image: NDArray[np.uint8], masked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The mask processing of the text: masked pixels become 0.

    Args:
        image: (H, W, 3) uint8.
        masked: (H, W) bool.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    return np.where(masked[..., None], np.uint8(0), image)


def static_image(image: NDArray[np.uint8], dynamic: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with its dynamic objects masked."""
    return masked_image(image, dynamic)


def dynamic_image(image: NDArray[np.uint8], dynamic: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with its static objects masked."""
    return masked_image(image, ~dynamic)


def dilated(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """A mask grown by `pixels` in every direction (a square)."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.uint8).view(np.bool_)


def components_of(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Connected components (8 neighbours) of a (H, W) mask: (H, W) their numbers, 0 outside."""
    return np.asarray(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[1], np.int32)
