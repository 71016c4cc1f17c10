# SPDX-License-Identifier: Apache-2.0
"""How steady the road is: the height at which a depth network sees the camera above its plane.

The camera's height does not change, so what changes from frame to frame is the depth's error:
no truth is needed to see it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.camera import Camera
from depth_recog.method.masking import CITYSCAPES

ROAD = CITYSCAPES.index("road")
NEAR, FAR = 3.0, 20.0
"""Metres: the bonnet is nearer, and what is further has too little parallax."""

_LEAST_PIXELS = 200
_LEAST_RANGE = 1.3
_ERODED = np.ones((5, 5), np.uint8)
_ROUNDS = 8
_STEEPEST = 0.8


def road_height(
    depth: NDArray[np.float32], labels: NDArray[np.uint8], camera: Camera
) -> float | None:
    """Distance of the camera from a plane through the road, in the depth's unit.

    A robust plane (Tukey's weights over the squared depth, since a depth's error grows with it)
    through road pixels away from the road's borders.

    Args:
        depth: (H, W) float32.
        labels: (H, W) uint8 train ids.
        camera: of both.

    Returns:
        None where too little road is seen, near and far, or the plane is not below the camera.
    """
    road = cv2.erode((labels == ROAD).astype(np.uint8), _ERODED) > 0
    rows, columns = np.nonzero(road & (depth > NEAR) & (depth < FAR))
    if len(rows) < _LEAST_PIXELS:
        return None
    z = depth[rows, columns].astype(np.float64)
    nearest, farthest = np.percentile(z, (10, 90))
    if farthest < _LEAST_RANGE * nearest:
        return None
    x, y = (columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z
    # y = a x + b z + c: heights over a plane that is below, never beside, the camera.
    terms = np.stack((x, z, np.ones_like(z)), 1)
    precision = 1 / z**2
    weights = precision
    plane: NDArray[np.float64] = np.zeros(3)
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        plane = np.asarray(np.linalg.lstsq(terms * root, y * root[:, 0], rcond=None)[0])
        residual = np.abs(y - terms @ plane) / z
        limit = 4.685 * 1.4826 * max(float(np.median(residual)), 1e-6)
        weights = precision * np.clip(1 - (residual / limit) ** 2, 0, None) ** 2
    height = plane[2] / np.sqrt(plane[0] ** 2 + plane[1] ** 2 + 1)
    if height <= 0 or max(abs(plane[0]), abs(plane[1])) > _STEEPEST:
        return None
    return float(height)


def spread(heights: list[float]) -> float:
    """Robust deviation of log heights; NaN below three of them."""
    if len(heights) < 3:
        return float("nan")
    logs = np.log(heights)
    return float(1.4826 * np.median(np.abs(logs - np.median(logs))))
