# SPDX-License-Identifier: Apache-2.0
"""Masks: blocks 103 (claim 2) and 107 (claim 5)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
"""Default preset objects (Cityscapes train ids); the index is the class id."""

DYNAMIC = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Default dynamic classes: vehicles, persons and animals."""

ROAD = ("road",)
GROUND = ("road", "sidewalk", "terrain")
"""Flat ground, and all ground that objects stand on."""

SKY = CITYSCAPES.index("sky")

UNLABELLED = 255
"""Class id of pixels that the camera has not seen, or whose class is not known."""

CATEGORIES = (
    ("car", "truck", "bus", "train"),
    ("person", "rider", "motorcycle", "bicycle"),
)
"""Classes that networks confuse or that move together: each row is one category for the gate."""


@dataclass(frozen=True)
class PresetRules:
    """The preset rules: which preset objects are dynamic; all others are static.

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
        """Map (H, W) class ids to (H, W) uint8 category ids: 0 if static, else from 1."""
        table = np.zeros(256, np.uint8)
        ids: dict[tuple[str, ...], int] = {}
        for name in self.dynamic:
            category = next((c for c in self.categories if name in c), (name,))
            table[self.classes.index(name)] = ids.setdefault(category, len(ids) + 1)
        return _looked_up(table, labels)

    def pixels_of(self, labels: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return (..., H, W) bool, True on the named classes; unknown names are ignored."""
        table = np.zeros(256, np.uint8)
        table[[self.classes.index(name) for name in names if name in self.classes]] = 1
        return _looked_up(table, labels).view(np.bool_)

    def dynamic_pixels(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (..., H, W) bool, True on dynamic classes."""
        return self.pixels_of(labels, self.dynamic)

    def sky_pixels(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (..., H, W) bool, True on the sky."""
        return self.pixels_of(labels, ("sky",))

    def train_ids(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map (..., H, W) class ids to Cityscapes train ids by name; 255 for other names."""
        table = np.full(256, 255, np.uint8)
        for index, name in enumerate(self.classes):
            table[index] = CITYSCAPES.index(name) if name in CITYSCAPES else 255
        return _looked_up(table, labels)


def _looked_up(table: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `table[labels]`; OpenCV is faster than numpy here."""
    found = cv2.LUT(labels.reshape(-1, labels.shape[-1]), table)
    return np.asarray(found, np.uint8).reshape(labels.shape)


def masked_image(image: NDArray[np.uint8], masked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a copy of an image (H, W, 3) with its masked pixels (H, W) set to 0."""
    return np.where(masked[..., None], np.uint8(0), image)


def static_image(image: NDArray[np.uint8], dynamic: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the static image: dynamic objects are masked."""
    return masked_image(image, dynamic)


def dynamic_image(image: NDArray[np.uint8], dynamic: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the dynamic image: static objects are masked."""
    return masked_image(image, ~dynamic)


def dilated(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return a (H, W) mask grown by `pixels` in every direction (by a square)."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel), np.uint8).view(np.bool_)


def components_of(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return (H, W) ids of a mask's connected components (8 neighbours), 0 outside the mask."""
    return np.asarray(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[1], np.int32)
