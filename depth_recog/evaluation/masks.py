# SPDX-License-Identifier: Apache-2.0
"""How good masks are: agreement with labels, and LiDAR points of annotated things found again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES

Labels = NDArray[np.uint8]

CLASSES = len(CITYSCAPES)
GROUPS = {
    "vehicles": ("car", "truck", "bus", "train"),
    "people": ("person", "rider", "motorcycle", "bicycle"),
}
"""What is told apart where it matters: people on wheels are people, with the wheels."""

PRESENT = 0.0005
"""Least share of the labelled pixels for a class to be present."""


def ids(group: str) -> NDArray[np.int64]:
    """Class ids of a key of `GROUPS`."""
    return np.array([CITYSCAPES.index(name) for name in GROUPS[group]])


def confusion(truth: Labels, answer: Labels) -> NDArray[np.int64]:
    """(19, 19) counts of pixels, truth by row; unlabelled pixels (255) are left out.

    Args:
        truth: (H, W) uint8 Cityscapes train ids.
        answer: the same.
    """
    known = truth < CLASSES
    pairs = truth[known].astype(np.int64) * CLASSES + answer[known]
    return np.bincount(pairs, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)


@dataclass(frozen=True)
class Agreement:
    """Intersections over unions of a confusion table.

    Attributes:
        by_class: of the classes that are present, by name.
        by_group: of each group of `GROUPS`, its classes taken for one; NaN where neither side has
            any of it.
        mean: over `by_class`.
        accuracy: share of the pixels with the same class.
    """

    by_class: dict[str, float]
    by_group: dict[str, float]
    mean: float
    accuracy: float

    @classmethod
    def of(cls, table: NDArray[np.int64]) -> Agreement:
        """Of what `confusion` counted, summed over images."""
        hits = np.diag(table)
        unions = table.sum(0) + table.sum(1) - hits
        present = np.flatnonzero(table.sum(1) > PRESENT * table.sum())
        by_class = {CITYSCAPES[i]: float(hits[i] / unions[i]) for i in present}
        by_group = {}
        for name in GROUPS:
            own = ids(name)
            both = table[np.ix_(own, own)].sum()
            union = table[own].sum() + table[:, own].sum() - both
            by_group[name] = float(both / union) if union else float("nan")
        mean = float(np.mean([*by_class.values()])) if by_class else float("nan")
        return cls(by_class, by_group, mean, float(hits.sum() / max(table.sum(), 1)))


@dataclass(frozen=True)
class Points:
    """Points of annotated things in one image.

    Attributes:
        u: (N,) columns in pixels of the image.
        v: (N,) rows.
        size: (width, height) of that image.
        group: (N,) index into `GROUPS`.
    """

    u: NDArray[np.int64]
    v: NDArray[np.int64]
    size: tuple[int, int]
    group: NDArray[np.int64]

    @classmethod
    def of(cls, truth: Truth, camera: Camera) -> Points | None:
        """The points of known depth within boxes that the image's border does not cut.

        A point belongs to a box by its place in space: what hides a thing, or is seen through its
        windows, is not counted for it.

        Args:
            truth: depth and boxes of a frame.
            camera: of the frame, without distortion.

        Returns:
            None where the frame has no depth or no boxes.
        """
        if truth.depth is None or truth.boxes is None:
            return None
        v, u = np.nonzero(np.isfinite(truth.depth))
        z = truth.depth[v, u].astype(np.float64)
        x, y = camera.rays(u, v)
        places = np.stack((x * z, y * z, z), axis=1)
        group = np.full(len(z), -1)
        for box in truth.boxes:
            index = next((i for i, names in enumerate(GROUPS.values()) if box.kind in names), None)
            if index is not None and not box.truncated:
                group[box.contains(places)] = index
        inside = group >= 0
        return cls(u[inside], v[inside], camera.size, group[inside])

    def found(self, labels: Labels) -> NDArray[np.int64]:
        """(groups, 2) counts by group: points on which the labels say the group, and all points.

        Args:
            labels: (h, w) uint8 of the same view at any size.
        """
        height, width = labels.shape
        columns = (self.u + 0.5) * width / self.size[0]
        rows = (self.v + 0.5) * height / self.size[1]
        said = labels[rows.astype(int), columns.astype(int)]
        counts = [
            (np.isin(said[self.group == i], ids(name)).sum(), (self.group == i).sum())
            for i, name in enumerate(GROUPS)
        ]
        return np.array(counts, dtype=np.int64)
