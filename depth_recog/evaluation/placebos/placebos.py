# SPDX-License-Identifier: Apache-2.0
"""Placebos: regions in the shape of cars and people on static background.

A placebo stays on the surface that it was put on: it follows the median flow of the features inside
and is scaled by the change of the distances between them (MedianFlow: Kalal et al.,
"Forward-Backward Error", 2010). It needs neither pose nor depth after its first frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.method.tracking.tracks import Correspondences, optical_flow

Mask = NDArray[np.bool_]

NEAREST, FARTHEST = 4.0, 40.0
"""Range of depths at which placebos are put, in the depth's unit."""

SECONDS = 1.5
"""Lifetime of a placebo."""

MARGIN = 0.01
"""Distance from everything that is not background, as a share of the image's width."""

_LEAST_PIXELS = 40
_LEAST_FOUND = 3
_LEAST_CORNERS = 6
_TRIES = 30
# Largest share of the image under placebos: the static pose needs the rest.
_MOST_COVERED = 0.15
# Like an object, a placebo has one depth: at least this share of it within this relative range.
_DEPTH_SHARE, _DEPTH_REACH = 0.75, 0.15
_MOST_GROWTH = 1.2


@dataclass(frozen=True)
class PlaceboShape:
    """An outline abs(x)^exponent + abs(y)^exponent <= 1 in half sizes.

    Attributes:
        name: the class that it is labelled as.
        width: metres.
        height: metres.
        exponent: 2 for an ellipse, larger for a squarer outline.
    """

    name: str
    width: float
    height: float
    exponent: float


SHAPES = (PlaceboShape("car", 1.8, 1.5, 4.0), PlaceboShape("person", 0.6, 1.7, 2.5))


@dataclass(frozen=True)
class Placebo:
    """One placebo in one frame.

    Attributes:
        number: from 1, unique in a recording.
        shape: its outline.
        centre: (u, v) in pixels.
        half: half width and half height, pixels.
        depth: of the surface that it was put on.
        born_ns: stamp of the frame in which it was chosen; it is shown from the next frame on.
    """

    number: int
    shape: PlaceboShape
    centre: tuple[float, float]
    half: tuple[float, float]
    depth: float
    born_ns: int

    def inside(self, size: tuple[int, int]) -> bool:
        """Whether it lies completely in an image of this width and height."""
        return all(
            middle - half >= -0.5 and middle + half <= length - 0.5
            for middle, half, length in zip(self.centre, self.half, size, strict=True)
        )

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """Return its pixels, (H, W) bool."""
        (u, v), (a, b), power = self.centre, self.half, self.shape.exponent
        x = np.abs((np.arange(shape[1]) - u) / a) ** power
        y = np.abs((np.arange(shape[0]) - v) / b) ** power
        return np.asarray(x[None] + y[:, None] <= 1)

    def followed(self, flow: Correspondences) -> Placebo | None:
        """Move it to the next frame.

        Args:
            flow: features inside it, in this frame and in the next one.

        Returns:
            None where too few were found again, or the size changes implausibly.
        """
        if len(flow) < _LEAST_FOUND:
            return None
        one, two = np.triu_indices(len(flow), 1)
        before = np.linalg.norm(flow.first[one] - flow.first[two], axis=1)
        after = np.linalg.norm(flow.second[one] - flow.second[two], axis=1)
        growth = float(np.median(after / np.maximum(before, 1e-6)))
        if not 1 / _MOST_GROWTH < growth < _MOST_GROWTH:
            return None
        u, v = np.median(flow.second - growth * (flow.first - np.array(self.centre)), axis=0)
        half = self.half[0] * growth, self.half[1] * growth
        return replace(self, centre=(float(u), float(v)), half=half)


class Placebos:
    """The placebos of a stream.

    Args:
        seed: of the random choices.
        count: largest number at a time.

    Attributes:
        alive: the placebos of the latest frame.
    """

    def __init__(self, seed: int = 0, count: int = 6) -> None:
        self.alive: tuple[Placebo, ...] = ()
        self._rng = np.random.default_rng(seed)
        self._count = count
        self._next = 1
        self._grey: NDArray[np.uint8] | None = None

    def follow(self, stamp_ns: int, grey: NDArray[np.uint8]) -> None:
        """Move them to the next frame; end those that are old, lost or cut by the border.

        Args:
            stamp_ns: of that frame.
            grey: (H, W) uint8, that frame.
        """
        before, self._grey = self._grey, grey
        if before is None or before.shape != grey.shape:
            self.alive = ()
            return
        moved = []
        for placebo in self.alive:
            corners = _corners(before, placebo.mask(grey.shape))
            after = placebo.followed(optical_flow(before, grey, corners))
            young = stamp_ns - placebo.born_ns <= SECONDS * 1e9
            if after is not None and young and after.inside(grey.shape[::-1]):
                moved.append(after)
        self.alive = tuple(moved)

    def keep_to(self, background: Mask) -> None:
        """End those that are too close to pixels outside the background, (H, W) bool."""
        free = _with_margin(background)
        self.alive = tuple(p for p in self.alive if free[p.mask(free.shape)].all())

    def draw(self, grey: NDArray[np.uint8], frame: Observation, background: Mask) -> None:
        """Choose new placebos where some are missing; they are shown from the next frame on.

        Args:
            grey: (H, W) uint8, the frame that was followed to.
            frame: that frame with its depth.
            background: (H, W) bool, False on dynamic classes and the sky.
        """
        depth = frame.gate_depth
        masks = [placebo.mask(depth.shape) for placebo in self.alive]
        covered = sum(int(mask.sum()) for mask in masks)
        free = _with_margin(background & ~np.any(masks, axis=0))
        for _ in range(_TRIES):
            if len(self.alive) >= self._count:
                return
            candidate = self._candidate(frame, free)
            if candidate is None:
                continue
            mask = candidate.mask(depth.shape)
            pixels = int(mask.sum())
            if (
                pixels < _LEAST_PIXELS
                or covered + pixels > _MOST_COVERED * mask.size
                or not free[mask].all()
                or np.mean(np.abs(np.log(depth[mask] / candidate.depth)) < _DEPTH_REACH)
                < _DEPTH_SHARE
                or len(_corners(grey, mask)) < _LEAST_CORNERS
            ):
                continue
            self.alive += (candidate,)
            self._next += 1
            covered += pixels
            free &= _with_margin(~mask)

    def _candidate(self, frame: Observation, free: Mask) -> Placebo | None:
        """A placebo whose depth is distributed evenly over its logarithm."""
        depth, camera = frame.gate_depth, frame.camera
        shape = SHAPES[self._rng.integers(len(SHAPES))]
        wanted = float(np.exp(self._rng.uniform(np.log(NEAREST), np.log(FARTHEST))))
        with np.errstate(invalid="ignore", divide="ignore"):
            rows, columns = np.nonzero(free & (np.abs(np.log(depth / wanted)) < _DEPTH_REACH))
        if not len(rows):
            return None
        chosen = self._rng.integers(len(rows))
        centre = float(columns[chosen]), float(rows[chosen])
        found = float(depth[rows[chosen], columns[chosen]])
        half = half_size(shape, found, camera)
        placebo = Placebo(self._next, shape, centre, half, found, frame.stamp_ns)
        return placebo if placebo.inside(depth.shape[::-1]) else None


def half_size(shape: PlaceboShape, depth: float, camera: Camera) -> tuple[float, float]:
    """Return half width and half height of a shape at a depth, pixels."""
    return camera.fx * shape.width / 2 / depth, camera.fy * shape.height / 2 / depth


def _corners(grey: NDArray[np.uint8], mask: Mask) -> NDArray[np.float32]:
    """Return corners inside a mask, (N, 2) pixels (u, v); more than the gate uses."""
    found = cv2.goodFeaturesToTrack(grey, 40, 1e-3, 2, mask=mask.astype(np.uint8))
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found[:, 0], np.float32)


def _with_margin(background: Mask) -> Mask:
    """Return the part of the background that is `MARGIN` away from everything else."""
    reach = round(MARGIN * background.shape[1])
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.erode(background.astype(np.uint8), kernel) > 0)
