# SPDX-License-Identifier: Apache-2.0
"""Temporal flicker: how far the depth of one frame is from that of the next, seen from there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.camera import Camera

_NEAREST = 0.5
_LARGEST = float(np.log(2.0))
"""A surface that hides another differs by more than that; it is no flicker, nor is it left out."""


class Flicker:
    """Warps each frame's depth to the next frame by the true motion and compares there.

    Both depths of a pair are multiplied by one factor, so that the true motion in metres applies; a
    factor for each image would hide the flicker of the scale. Things that move are left out where
    the truth knows them.

    Args:
        cap: what is farther, in metres, is not compared.
    """

    def __init__(self, cap: float) -> None:
        self._cap = cap
        self._medians: list[float] = []
        self._means: list[float] = []

    def add(
        self,
        first: NDArray[np.float32],
        second: NDArray[np.float32],
        scale: float,
        T_second_from_first: NDArray[np.float64],
        camera: Camera,
        keep: NDArray[np.bool_] | None = None,
    ) -> None:
        """One pair of successive frames.

        Args:
            first: (H, W) depth of the earlier frame.
            second: (H, W) depth of the later frame.
            scale: metres over the depths' unit, for both.
            T_second_from_first: (4, 4) true motion in metres.
            camera: intrinsics of both.
            keep: (H, W) bool, pixels of the earlier frame to compare; all when not given.
        """
        differences = warped_difference(
            first * np.float32(scale),
            second * np.float32(scale),
            T_second_from_first,
            camera,
            self._cap,
            keep,
        )
        if differences.size:
            clipped = np.minimum(np.abs(differences), _LARGEST)
            self._medians.append(float(np.median(clipped)))
            self._means.append(float(clipped.mean()))

    def result(self) -> dict[str, Any]:
        """Means over the pairs of the median and the mean |log ratio|."""
        if not self._medians:
            return {"pairs": 0}
        return {
            "pairs": len(self._medians),
            "median": float(np.mean(self._medians)),
            "mean": float(np.mean(self._means)),
        }


def warped_difference(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    T_second_from_first: NDArray[np.float64],
    camera: Camera,
    cap: float,
    keep: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Log of the warped over the later frame's depth, at pixels that both frames see.

    Args:
        first: (H, W) metres.
        second: (H, W) metres.
        T_second_from_first: (4, 4), metres.
        camera: intrinsics of both.
        cap: metres.
        keep: (H, W) bool or None.

    Returns:
        (N,) float64.
    """
    use = np.isfinite(first) & (first > _NEAREST) & (first < cap)
    if keep is not None:
        use &= keep
    rows, columns = np.nonzero(use)
    z = first[rows, columns].astype(np.float64)
    points = np.stack(
        ((columns - camera.cx) * z / camera.fx, (rows - camera.cy) * z / camera.fy, z)
    )
    x, y, z = T_second_from_first[:3, :3] @ points + T_second_from_first[:3, 3:]
    ahead = z > _NEAREST
    x, y, z = x[ahead], y[ahead], z[ahead]
    u = np.rint(camera.fx * x / z + camera.cx).astype(np.int64)
    v = np.rint(camera.fy * y / z + camera.cy).astype(np.int64)
    height, width = second.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    there = second[v[inside], u[inside]].astype(np.float64)
    warped = z[inside]
    both = np.isfinite(there) & (there > _NEAREST)
    return np.asarray(np.log(warped[both] / there[both]))
