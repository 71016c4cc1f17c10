# SPDX-License-Identifier: Apache-2.0
"""Collects one method's depth errors over a recording, also by range, class and motion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.evaluation.depth_errors import METRICS, Protocol, Values, figures, terms
from depth_recog.evaluation.motion import MOVING, PARKED, motion_of
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES

RANGES = ((0, 10), (10, 20), (20, 40), (40, 80))
"""Metres."""

MOTIONS = ("moving", "parked", "background")

_ORDER = {
    "by_range": tuple(f"{low}-{high}" for low, high in RANGES),
    "by_class": CITYSCAPES,
    "by_motion": MOTIONS,
}

# LiDAR points on an object lie on its box or, by errors of the calibration, just outside.
_MARGIN_M = 0.15


class Groups:
    """Assigns the compared pixels of an image to groups.

    Args:
        truth: (N,) metres.
        labels: (N,) uint8 train ids, or None.
        motions: (N,) index into `MOTIONS`, -1 on objects whose motion is unknown; or None.

    Attributes:
        names: (axis, name) of each of the G groups.
    """

    def __init__(
        self, truth: Values, labels: NDArray[np.uint8] | None, motions: NDArray[np.int8] | None
    ) -> None:
        groups = {
            ("by_range", f"{low}-{high}"): (truth >= low) & (truth < high) for low, high in RANGES
        }
        if labels is not None:
            seen = [i for i in np.unique(labels) if i < len(CITYSCAPES)]
            groups |= {("by_class", CITYSCAPES[i]): labels == i for i in seen}
        if motions is not None:
            groups |= {("by_motion", name): motions == i for i, name in enumerate(MOTIONS)}
        self.names = list(groups)
        # One product gives the sums over all groups, and over all pixels.
        self._members = np.stack((np.ones(len(truth)), *groups.values()))

    def sums(self, terms: Values) -> tuple[Values, Values]:
        """Return sums of (9, N) terms: (9,) over all pixels, (G, 9) over those of each group."""
        totals = self._members @ terms.T
        return totals[0], totals[1:]


class DepthTally:
    """One method's errors.

    Figures of whole images are means over the images, as in papers. Figures of a group are computed
    over the group's pixels of all images together, because one image may have few of them.
    Median-scaled figures use the factor of the whole image, in groups too.

    Args:
        protocol: which pixels are compared.

    Attributes:
        names: of the images, in order.
        scales: median of the truth over median of the depth, of each image.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.names: list[str] = []
        self.scales: list[float] = []
        self._images: dict[str, list[list[float]]] = {"unscaled": [], "median_scaled": []}
        self._answered = [0, 0]
        self._groups: dict[tuple[str, str, str], Values] = {}

    def add(self, name: str, depth: Values, truth: Values, groups: Groups) -> None:
        """Add one image.

        Args:
            name: of the frame.
            depth: (N,) the method's depth at the compared pixels, N > 0.
            truth: (N,) metres.
            groups: of these pixels.
        """
        self._answered[0] += int((np.isfinite(depth) & (depth > 0)).sum())
        self._answered[1] += len(depth)
        depth = self._protocol.usable(depth)
        scale = float(np.median(truth) / np.median(depth))
        self.names.append(name)
        self.scales.append(scale)
        for kind, values in (("unscaled", depth), ("median_scaled", depth * scale)):
            whole, parts = groups.sums(terms(values, truth))
            self._images[kind].append(list(figures(whole).values()))
            for (axis, group), part in zip(groups.names, parts, strict=True):
                total = self._groups.setdefault((kind, axis, group), np.zeros(9))
                total += part

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    def abs_rel(self) -> list[float]:
        """Median-scaled abs_rel of each image."""
        return [row[METRICS.index("abs_rel")] for row in self._images["median_scaled"]]

    def result(self) -> dict[str, Any]:
        """Return the figures as nested dictionaries, see docs/reference/files.md."""
        if not self.names:
            return {"images": 0}
        answer: dict[str, Any] = {
            "images": self.images,
            "pixels": self._answered[1],
            "coverage": self._answered[0] / self._answered[1],
        }
        for kind, rows in self._images.items():
            answer[kind] = dict(zip(METRICS, np.mean(rows, 0).tolist(), strict=True))
        scales = np.array(self.scales)
        median = float(np.median(scales))
        answer["scale"] = {
            "median": median,
            "spread": float(scales.std()) / median,
            "lowest": float(scales.min()),
            "highest": float(scales.max()),
        }
        # Groups in the order of their axis, not in that of their first frames.
        for (kind, axis, group), total in sorted(
            self._groups.items(), key=lambda item: _ORDER[item[0][1]].index(item[0][2])
        ):
            if total[8]:
                place = answer.setdefault(axis, {}).setdefault(group, {"pixels": int(total[8])})
                place[kind] = figures(total)
        return answer


def motions(
    truth: NDArray[np.float32], judged: NDArray[np.bool_], boxes: tuple[Box, ...], camera: Camera
) -> NDArray[np.int8]:
    """Return for each compared pixel the motion of the object that its true point belongs to.

    Args:
        truth: (H, W) metres along the optical axis.
        judged: (H, W) bool, True at the N compared pixels.
        boxes: of the frame.
        camera: intrinsics of the rectified depth image.

    Returns:
        (N,) int8, index into `MOTIONS`; -1 within boxes whose motion is unknown.
    """
    rows, columns = np.nonzero(judged)
    z = truth[rows, columns].astype(np.float64)
    x, y = camera.rays(columns, rows)
    points = np.stack((x * z, y * z, z), -1)
    answer = np.full(len(z), MOTIONS.index("background"), np.int8)
    codes = {MOVING: MOTIONS.index("moving"), PARKED: MOTIONS.index("parked")}
    # Where boxes overlap, a moving object takes precedence over a parked one.
    for box in sorted(boxes, key=lambda b: motion_of(b) == MOVING):
        answer[_skin(box).contains(points)] = codes.get(motion_of(box), -1)
    return answer


def _skin(box: Box) -> Box:
    """Return the box widened for points on its surface, and lifted above those of the road."""
    length, width, height = box.size
    lift = np.eye(4)
    lift[2, 3] = _MARGIN_M
    pose = box.T_camera_from_box @ lift
    size = (length + 2 * _MARGIN_M, width + 2 * _MARGIN_M, height)
    return replace(box, T_camera_from_box=pose, size=size)
