# SPDX-License-Identifier: Apache-2.0
"""Metrics of masks: intersection over union with labels, and recall of LiDAR points on objects."""

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
"""Classes that are evaluated together; people on bicycles and motorcycles count as people."""

PRESENT = 0.0005
"""A class is present from this share of the labelled pixels on."""


def ids(group: str) -> NDArray[np.int64]:
    """Return the class ids of a key of `GROUPS`."""
    return np.array([CITYSCAPES.index(name) for name in GROUPS[group]])


def confusion(truth: Labels, answer: Labels) -> NDArray[np.int64]:
    """Count pixels by true class (row) and answered class (column), (19, 19).

    Args:
        truth: (H, W) uint8 Cityscapes train ids; unlabelled pixels (255) are left out.
        answer: the same.
    """
    known = truth < CLASSES
    pairs = truth[known].astype(np.int64) * CLASSES + answer[known]
    return np.bincount(pairs, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)


@dataclass(frozen=True)
class Agreement:
    """Intersection over union, from a confusion table.

    Attributes:
        by_class: of the classes that are present, by name.
        by_group: of each group of `GROUPS`, its classes merged; NaN where neither truth nor answer
            has any.
        mean: over `by_class`.
        accuracy: share of the pixels with the same class.
    """

    by_class: dict[str, float]
    by_group: dict[str, float]
    mean: float
    accuracy: float

    @classmethod
    def of(cls, table: NDArray[np.int64]) -> Agreement:
        """Compute from the sum of `confusion` over images, (19, 19)."""
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
    """LiDAR points on annotated objects in one image.

    Attributes:
        u: (N,) columns, pixels of the image.
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
        """Select the points of known depth within boxes that are not cut by the image border.

        A point belongs to a box by its position in space, so points of occluding objects, or seen
        through an object's windows, do not count.

        Args:
            truth: depth and boxes of a frame.
            camera: of the frame, rectified.

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
        """Count by group the points that the labels assign to it, and all points, (groups, 2).

        Args:
            labels: (h, w) uint8 of the same image at any size.
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
