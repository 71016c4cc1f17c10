# SPDX-License-Identifier: Apache-2.0
"""Conversion between rotation matrices and quaternions (x, y, z, w) of ROS messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.limits import FARTHEST_M


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The quaternion (x, y, z, w), w >= 0, of a (3, 3) rotation matrix.

    Divides by the largest component, which is accurate for all rotations (Shepperd, 1978).
    """
    r = rotation
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    # Row and column i of this matrix are 4 q_i (x, y, z, w).
    table = np.array(
        [
            [1 + 2 * r[0, 0] - trace, r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [r[0, 1] + r[1, 0], 1 + 2 * r[1, 1] - trace, r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 1 + 2 * r[2, 2] - trace, r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + trace],
        ]
    )
    q = table[np.argmax(table.diagonal())]
    q = q / np.linalg.norm(q) * (-1.0 if q[3] < 0 else 1.0)
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def rotation(x: float, y: float, z: float, w: float) -> NDArray[np.float64] | None:
    """The (3, 3) float64 rotation of a quaternion of any norm; None if zero or not finite."""
    q = np.array((x, y, z, w), np.float64)
    length = np.linalg.norm(q)
    if not np.isfinite(length) or length < 1e-9:
        return None
    x, y, z, w = (float(v) for v in q / length)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_message(translation: Any, orientation: Any) -> NDArray[np.float64] | None:
    """The (4, 4) float64 pose of a Point or Vector3 and a Quaternion; None if not valid."""
    turned = rotation(orientation.x, orientation.y, orientation.z, orientation.w)
    if turned is None:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = turned
    matrix[:3, 3] = translation.x, translation.y, translation.z
    # NaN is not within either.
    return matrix if (np.abs(matrix[:3, 3]) <= FARTHEST_M).all() else None
