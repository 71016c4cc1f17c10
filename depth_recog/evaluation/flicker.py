# SPDX-License-Identifier: Apache-2.0
"""Temporal flicker: difference of one frame's depth, warped to the next, and the next's depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.evaluation.motion import MOVING, motion_of
from depth_recog.method.geometry.camera import Camera

Depth = NDArray[np.float32]

_NEAREST = 0.5
_LARGEST = float(np.log(2.0))
"""Larger differences are clipped to this: they come from occlusion, not from flicker."""


class Flicker:
    """Warps each frame's depth to the next frame by the true motion and compares the two.

    Both depths of a pair are scaled to metres by the same factor. A factor for each image would
    hide the flicker of the scale.

    Args:
        cap: largest depth that is compared, metres.
    """

    def __init__(self, cap: float) -> None:
        self._cap = cap
        self._medians: list[float] = []
        self._means: list[float] = []

    def add(
        self,
        first: Depth,
        second: Depth,
        scale: float,
        T_second_from_first: NDArray[np.float64],
        camera: Camera,
    ) -> None:
        """Add a pair of successive frames.

        Args:
            first: (H, W) depth of the earlier frame; NaN to exclude a pixel.
            second: (H, W) depth of the later frame, likewise.
            scale: factor from both depths to metres.
            T_second_from_first: (4, 4) true motion in metres.
            camera: intrinsics of both.
        """
        metres = first * np.float32(scale), second * np.float32(scale)
        differences = warped_difference(*metres, T_second_from_first, camera, self._cap)
        if differences.size:
            clipped = np.minimum(np.abs(differences), _LARGEST)
            self._medians.append(float(np.median(clipped)))
            self._means.append(float(clipped.mean()))

    def result(self) -> dict[str, Any]:
        """Return the means over the pairs of the median and the mean |log ratio|."""
        if not self._medians:
            return {"pairs": 0}
        return {
            "pairs": len(self._medians),
            "median": float(np.mean(self._medians)),
            "mean": float(np.mean(self._means)),
        }


def without_movers(depth: Depth, truth: Truth, camera: Camera) -> Depth:
    """Set the depth of moving objects to NaN.

    Args:
        depth: (H, W).
        truth: its mask of moving objects is used, or else the outlines of its moving boxes.
        camera: intrinsics of the rectified image.

    Returns:
        (H, W) float32; the same array where no object moves.
    """
    if truth.moving is not None:
        return np.where(truth.moving, np.float32(np.nan), depth)
    movers = [box for box in truth.boxes or () if motion_of(box) == MOVING]
    if movers:
        depth = depth.copy()
    for box in movers:
        outline = box.outline(camera)
        if outline is not None:
            left, top, right, bottom = (round(v) for v in outline)
            depth[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = np.nan
    return depth


def warped_difference(
    first: Depth,
    second: Depth,
    T_second_from_first: NDArray[np.float64],
    camera: Camera,
    cap: float,
) -> NDArray[np.float64]:
    """Return log(warped depth / later depth) at the pixels that both frames show.

    Args:
        first: (H, W) metres.
        second: (H, W) metres.
        T_second_from_first: (4, 4), metres.
        camera: intrinsics of both.
        cap: metres.

    Returns:
        (N,) float64.
    """
    # K (R K^-1 p z + t) at every pixel p. K R K^-1 p is linear in the pixel, so a row and a column
    # are added instead of multiplying each point by a matrix.
    turn = camera.matrix @ T_second_from_first[:3, :3] @ np.linalg.inv(camera.matrix)
    shift = camera.matrix @ T_second_from_first[:3, 3]
    height, width = first.shape
    across, down = np.arange(width), np.arange(height)[:, None]
    z = first.astype(np.float64)
    x, y, ahead = (
        (a * across + (b * down + c)) * z + s for (a, b, c), s in zip(turn, shift, strict=True)
    )
    use = np.isfinite(first) & (first > _NEAREST) & (first < cap) & (ahead > _NEAREST)
    x, y, ahead = x[use], y[use], ahead[use]
    u = np.rint(x / ahead).astype(np.int64)
    v = np.rint(y / ahead).astype(np.int64)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    there = second[v[inside], u[inside]].astype(np.float64)
    warped = ahead[inside]
    both = np.isfinite(there) & (there > _NEAREST)
    return np.asarray(np.log(warped[both] / there[both]))
