# SPDX-License-Identifier: Apache-2.0
"""Rigid motions. `T_b_from_a` takes a point from frame a to frame b: x_b = T_b_from_a x_a."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float64]


def hat(vector: Tensor) -> Tensor:
    """The matrix of the cross product with a vector a: times b it gives a x b.

    Args:
        vector: (..., 3) float.

    Returns:
        (..., 3, 3), skew-symmetric.
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*vector.shape, 3)


def exp_rotation(rotation: Tensor) -> Tensor:
    """Rodrigues' formula, differentiable at zero too.

    Args:
        rotation: (..., 3) float, rotation vector in radians.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    square = (rotation * rotation).sum(-1)[..., None, None]
    small = square < 1e-8
    # The Taylor series near zero: the closed form divides zero by zero there, and so would its
    # gradient, which is why the unused branch sees a harmless angle.
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    a = torch.where(small, 1 - square / 6, angle.sin() / angle)
    b = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    k = hat(rotation)
    eye = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return eye + a * k + b * (k @ k)


def from_rotation_translation(rotation: Tensor, translation: Tensor) -> Tensor:
    """[R t; 0 1] of block 105.

    Args:
        rotation: (..., 3, 3) float.
        translation: (..., 3) float.

    Returns:
        (..., 4, 4).
    """
    top = torch.cat((rotation, translation[..., None]), -1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 0, 3] = 1
    return torch.cat((top, bottom), -2)


def from_vector(vector: Tensor) -> Tensor:
    """A pose network's six numbers as a matrix.

    Args:
        vector: (..., 6) float, rotation vector in radians, then translation (not twisted by the
            rotation: the last column is the last three numbers).

    Returns:
        (..., 4, 4).
    """
    return from_rotation_translation(exp_rotation(vector[..., :3]), vector[..., 3:])


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of rigid motions (..., 4, 4), by the transpose."""
    rotation = matrix[..., :3, :3].transpose(-1, -2)
    translation = -(rotation @ matrix[..., :3, 3:])[..., 0]
    return from_rotation_translation(rotation, translation)


def inverse_matrix(matrix: Matrix) -> Matrix:
    """Inverse of one rigid motion, (4, 4) float64, by the transpose."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def relative(world_from_first: Matrix, world_from_second: Matrix) -> Matrix:
    """T_second_from_first of two (4, 4) camera-to-world poses."""
    return inverse_matrix(world_from_second) @ world_from_first


def rotation_angle(matrix: Matrix) -> float:
    """Angle in radians of the rotation in a (3, 3) or (4, 4) matrix."""
    r = matrix[:3, :3]
    # atan2 of sine and cosine: arccos alone loses small angles to rounding.
    sine = 0.5 * np.linalg.norm((r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]))
    return float(np.arctan2(sine, 0.5 * (np.trace(r) - 1)))


def exp_twist(twist: NDArray[np.float64]) -> Matrix:
    """The motion of a frame that turns and moves steadily, seen from where it was.

    Args:
        twist: (6,) rotation vector in radians, then translation, both in the moving frame's axes.

    Returns:
        (4, 4) T_before_from_after.
    """
    result = np.eye(4)
    rotation, along = _turned(twist[:3])
    result[:3, :3] = rotation
    result[:3, 3] = along @ twist[3:]
    return result


def log_twist(T_before_from_after: Matrix) -> NDArray[np.float64]:
    """The steady motion that leads there, (6,): inverse of `exp_twist` up to half a turn."""
    vector = rotation_vector(T_before_from_after)
    along = np.linalg.solve(_turned(vector)[1], T_before_from_after[:3, 3])
    return np.concatenate((vector, along))


def rotation_vector(matrix: Matrix) -> NDArray[np.float64]:
    """(3,) float64, axis times angle in radians, of a (3, 3) or (4, 4) matrix."""
    r = matrix[:3, :3]
    sines = np.array((r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1])) / 2
    sine = float(np.linalg.norm(sines))
    angle = rotation_angle(matrix)
    if sine > 1e-6:
        return sines * (angle / sine)
    # Half a turn has no sine to tell the axis by; OpenCV takes it from the diagonal.
    return sines if angle < 1 else np.asarray(cv2.Rodrigues(r)[0][:, 0], np.float64)


def cross_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) float64: times b it gives a x b. `hat` for numpy."""
    x, y, z = vector
    return np.array(((0.0, -z, y), (z, 0.0, -x), (-y, x, 0.0)))


def _turned(vector: NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    """exp(hat(v)), and its mean over the way there, which takes a twist's translation to t."""
    angle = float(np.linalg.norm(vector))
    k = cross_matrix(vector)
    if angle < 1e-6:
        return np.eye(3) + k + k @ k / 2, np.eye(3) + k / 2 + k @ k / 6
    a = np.sin(angle) / angle
    b = (1 - np.cos(angle)) / angle**2
    c = (1 - a) / angle**2
    return np.eye(3) + a * k + b * k @ k, np.eye(3) + b * k + c * k @ k
