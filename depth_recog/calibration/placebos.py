# SPDX-License-Identifier: Apache-2.0
"""Placebos: shapes of vehicles and people on static background.

What the gate measures there is what it measures where nothing moves. A placebo is pinned to what it
covers: it follows the median flow of the features inside and grows with the distances between
them (MedianFlow: Kalal et al., "Forward-Backward Error", 2010), so it needs neither pose nor depth
after it has been chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.tracking.correspondences import Correspondences
from depth_recog.method.tracking.flow import optical_flow

Mask = NDArray[np.bool_]

NEAREST, FARTHEST = 4.0, 40.0
"""Depth of what placebos are put on, the depth's unit."""

SECONDS = 1.5
"""Life of a placebo."""

MARGIN = 0.01
"""Distance that placebos keep from what is no background, as a share of the image's width."""

_LEAST_PIXELS = 40
_LEAST_FOUND = 3
_LEAST_CORNERS = 6
_TRIES = 30
# At most so much of the picture: the static pose needs the rest.
_MOST_COVERED = 0.15
# A thing has one depth: three quarters of the background within 15 % of the middle.
_DEPTH_SHARE, _DEPTH_REACH = 0.75, 0.15
_MOST_GROWTH = 1.2


@dataclass(frozen=True)
class Shape:
    """An outline: abs(x)^exponent + abs(y)^exponent <= 1 in half sizes.

    Attributes:
        name: the class that it is given out for.
        width: metres.
        height: metres.
        exponent: 2 for an ellipse; the larger, the squarer.
    """

    name: str
    width: float
    height: float
    exponent: float


SHAPES = (Shape("car", 1.8, 1.5, 4.0), Shape("person", 0.6, 1.7, 2.5))


@dataclass(frozen=True)
class Placebo:
    """One of them, in one frame.

    Attributes:
        number: from 1, unique in a recording.
        shape: its outline.
        centre: (u, v) in pixels.
        half: half width and half height in pixels.
        depth: of what it was put on.
        born_ns: stamp of the frame in which it was chosen; the next one is the first to show it.
    """

    number: int
    shape: Shape
    centre: tuple[float, float]
    half: tuple[float, float]
    depth: float
    born_ns: int

    @classmethod
    def at_depth(
        cls,
        number: int,
        shape: Shape,
        centre: tuple[float, float],
        depth: float,
        camera: Camera,
        stamp_ns: int,
    ) -> Placebo:
        """The shape's image at a depth."""
        half = camera.fx * shape.width / 2 / depth, camera.fy * shape.height / 2 / depth
        return cls(number, shape, centre, half, depth, stamp_ns)

    def inside(self, size: tuple[int, int]) -> bool:
        """Whether all of it is in an image of this width and height."""
        return all(
            middle - half >= -0.5 and middle + half <= length - 0.5
            for middle, half, length in zip(self.centre, self.half, size, strict=True)
        )

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """(H, W) bool, its pixels."""
        (u, v), (a, b), power = self.centre, self.half, self.shape.exponent
        x = np.abs((np.arange(shape[1]) - u) / a) ** power
        y = np.abs((np.arange(shape[0]) - v) / b) ** power
        return np.asarray(x[None] + y[:, None] <= 1)

    def followed(self, flow: Correspondences) -> Placebo | None:
        """Where it is in the next frame.

        Args:
            flow: features inside it, in this frame and in the next.

        Returns:
            None where too few were found again, or where they do not agree on a size.
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
        seed: of everything that is left to chance.
        count: at most so many at a time.

    Attributes:
        alive: those of the latest frame.
    """

    def __init__(self, seed: int = 0, count: int = 6) -> None:
        self.alive: tuple[Placebo, ...] = ()
        self._rng = np.random.default_rng(seed)
        self._count = count
        self._next = 1
        self._grey: NDArray[np.uint8] | None = None

    def follow(self, stamp_ns: int, grey: NDArray[np.uint8]) -> None:
        """Move them on to the next frame; those that are old, lost or cut by the border end.

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
        """End those that come near anything that is no background, (H, W) bool."""
        free = _with_margin(background)
        self.alive = tuple(p for p in self.alive if free[p.mask(free.shape)].all())

    def draw(
        self,
        stamp_ns: int,
        grey: NDArray[np.uint8],
        depth: NDArray[np.float32],
        background: Mask,
        camera: Camera,
    ) -> None:
        """Choose new ones where some are missing, to be shown from the next frame on.

        Args:
            stamp_ns: of the frame that was followed to.
            grey: (H, W) uint8, that frame.
            depth: (H, W) float32, metres.
            background: (H, W) bool, what cannot move and is not the sky.
            camera: intrinsics.
        """
        covered = sum(int(p.mask(depth.shape).sum()) for p in self.alive)
        free = _with_margin(background & _without(self.alive, depth.shape))
        for _ in range(_TRIES):
            if len(self.alive) >= self._count:
                return
            candidate = self._candidate(stamp_ns, depth, free, camera)
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

    def _candidate(
        self, stamp_ns: int, depth: NDArray[np.float32], free: Mask, camera: Camera
    ) -> Placebo | None:
        """One at a depth that is even over its logarithm, as sizes in the image then are."""
        shape = SHAPES[self._rng.integers(len(SHAPES))]
        wanted = float(np.exp(self._rng.uniform(np.log(NEAREST), np.log(FARTHEST))))
        with np.errstate(invalid="ignore", divide="ignore"):
            rows, columns = np.nonzero(free & (np.abs(np.log(depth / wanted)) < _DEPTH_REACH))
        if not len(rows):
            return None
        chosen = self._rng.integers(len(rows))
        centre = float(columns[chosen]), float(rows[chosen])
        found = float(depth[rows[chosen], columns[chosen]])
        placebo = Placebo.at_depth(self._next, shape, centre, found, camera, stamp_ns)
        return placebo if placebo.inside(depth.shape[::-1]) else None


def _corners(grey: NDArray[np.uint8], mask: Mask) -> NDArray[np.float32]:
    """(N, 2) pixels (u, v). More than the gate has: a placebo has to last, not to be judged."""
    found = cv2.goodFeaturesToTrack(grey, 40, 1e-3, 2, mask=mask.astype(np.uint8))
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found[:, 0], np.float32)


def _with_margin(background: Mask) -> Mask:
    """What is so far from everything else that a placebo may lie there."""
    reach = round(MARGIN * background.shape[1])
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.erode(background.astype(np.uint8), kernel) > 0)


def _without(placebos: Sequence[Placebo], shape: tuple[int, ...]) -> Mask:
    """(H, W) bool, False on them."""
    free = np.ones(shape, np.bool_)
    for placebo in placebos:
        free &= ~placebo.mask(shape)
    return free
