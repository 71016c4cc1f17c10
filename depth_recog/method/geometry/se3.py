# SPDX-License-Identifier: Apache-2.0
"""Rigid motions. `T_b_from_a` maps a point from frame a to frame b: x_b = T_b_from_a x_a.

Single float64 matrices, as a stream composes them; training's tensors are in `se3_tensors.py`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def from_vector(vector: NDArray[np.float64]) -> Matrix:
    """Return the motion (4, 4) of (6,): rotation vector (radians), then translation."""
    result = np.eye(4)
    result[:3, :3] = _turned(vector[:3])[0]
    result[:3, 3] = vector[3:]
    return result


def inverse_matrix(matrix: Matrix) -> Matrix:
    """Invert a rigid motion (4, 4) float64."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def relative(world_from_first: Matrix, world_from_second: Matrix) -> Matrix:
    """Return T_second_from_first of two (4, 4) camera-to-world poses."""
    return inverse_matrix(world_from_second) @ world_from_first


def rotation_angle(matrix: Matrix) -> float:
    """Return the angle, radians, of the rotation in a (3, 3) or (4, 4) matrix."""
    r = matrix[:3, :3]
    # atan2, since arccos of the cosine is inaccurate for small angles.
    sine = 0.5 * np.linalg.norm((r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]))
    return float(np.arctan2(sine, 0.5 * (np.trace(r) - 1)))


def exp_twist(twist: NDArray[np.float64]) -> Matrix:
    """Return the motion of a frame with constant angular and linear velocity, after unit time.

    Args:
        twist: (6,) angular (radians) and linear velocity, both in the moving frame's axes.

    Returns:
        (4, 4) T_before_from_after.
    """
    result = np.eye(4)
    rotation, along = _turned(twist[:3])
    result[:3, :3] = rotation
    result[:3, 3] = along @ twist[3:]
    return result


def log_twist(T_before_from_after: Matrix) -> NDArray[np.float64]:
    """Return the twist (6,) of a motion: the inverse of `exp_twist` up to half a turn."""
    vector = rotation_vector(T_before_from_after)
    along = np.linalg.solve(_turned(vector)[1], T_before_from_after[:3, 3])
    return np.concatenate((vector, along))


def rotation_vector(matrix: Matrix) -> NDArray[np.float64]:
    """Return axis times angle, (3,) float64, radians, of a (3, 3) or (4, 4) matrix."""
    r = matrix[:3, :3]
    sines = np.array((r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1])) / 2
    sine = float(np.linalg.norm(sines))
    angle = rotation_angle(matrix)
    if sine > 1e-6:
        return sines * (angle / sine)
    # Near half a turn the sine does not give the axis; OpenCV takes it from the diagonal.
    return sines if angle < 1 else np.asarray(cv2.Rodrigues(r)[0][:, 0], np.float64)


def cross_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return A (3, 3) float64 with A b = a x b; `se3_tensors.hat` of one vector."""
    x, y, z = vector
    return np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))


def _turned(vector: NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    """Return exp(hat(v)) and its mean over the motion, int_0^1 exp(s hat(v)) ds, both (3, 3)."""
    angle = float(np.linalg.norm(vector))
    k = cross_matrix(vector)
    if angle < 1e-6:
        return np.eye(3) + k + k @ k / 2, np.eye(3) + k / 2 + k @ k / 6
    a = np.sin(angle) / angle
    b = (1 - np.cos(angle)) / angle**2
    c = (1 - a) / angle**2
    return np.eye(3) + a * k + b * k @ k, np.eye(3) + b * k + c * k @ k
