# SPDX-License-Identifier: Apache-2.0
"""Block 106 for one pair of images, as NumPy arrays: see `projection.py`, which training uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix

# A point closer than this to the camera's plane has no projection, in the depth's unit.
NEAREST = 1e-3
# Tolerance in pixels: rounding must not put a border pixel of an unmoved camera outside.
_BORDER = 1e-3


def projection_image(
    second: NDArray[np.uint8],
    depth: NDArray[np.float32],
    camera: Camera,
    T_second_from_first: Matrix,
) -> NDArray[np.uint8]:
    """Compute the projection image of I1: I2 sampled at the projections of I1's points.

    Args:
        second: (H, W, 3) uint8, I2.
        depth: (H, W) float32, D1; not finite or not positive where unknown.
        camera: intrinsics of both images.
        T_second_from_first: (4, 4), translation in the depth's unit.

    Returns:
        (H, W, 3) uint8, 0 where a point has no projection inside I2.
    """
    height, width = depth.shape
    u, v, valid = projections(depth, camera, T_second_from_first)
    found = sampled(second, u, v)
    found[~valid] = 0
    # The half is not added: pixel values are cut off, not rounded.
    return found.astype(np.uint8).reshape(height, width, 3)


def projections(
    depth: NDArray[np.float32], camera: Camera, T_second_from_first: Matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Compute where the points of I1's pixels lie in I2.

    Args:
        depth: (H, W) float32, D1; not finite or not positive where unknown.
        camera: intrinsics of both images.
        T_second_from_first: (4, 4), translation in the depth's unit.

    Returns:
        For the H * W pixels, row by row: column and row in I2, moved to its border where they are
        outside, and whether the point is in front of the second camera and inside I2.
    """
    height, width = depth.shape
    known = np.isfinite(depth) & (depth > 0)
    grid = np.indices(depth.shape).astype(np.float32)
    x, y = camera.rays(grid[1], grid[0])
    z = np.where(known, depth, np.float32(1))
    points = np.stack((x * z, y * z, z)).reshape(3, -1)
    moved = T_second_from_first[:3, :3] @ points + T_second_from_first[:3, 3:]
    front = moved[2] > NEAREST
    u, v = (camera.matrix @ moved)[:2] / np.where(front, moved[2], 1)
    valid = front & (u >= -_BORDER) & (u <= width - 1 + _BORDER)
    valid &= (v >= -_BORDER) & (v <= height - 1 + _BORDER)
    valid &= known.ravel()
    return np.clip(u, 0, width - 1), np.clip(v, 0, height - 1), valid


def sampled(
    image: NDArray[np.uint8], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sample (H, W, C) bilinearly at (N,) pixels inside it; OpenCV rounds pixels to 1/32."""
    left, top = u.astype(np.intp), v.astype(np.intp)
    right = np.minimum(left + 1, image.shape[1] - 1)
    below = np.minimum(top + 1, image.shape[0] - 1)
    across, down = (u - left)[:, None], (v - top)[:, None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[below, left] * (1 - across) + image[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down)
