# SPDX-License-Identifier: Apache-2.0
"""Rigid motions as tensors with gradients, for training; conventions as in `se3.py`."""

from __future__ import annotations

import torch
from torch import Tensor


def hat(vector: Tensor) -> Tensor:
    """Return A (..., 3, 3) with A b = a x b for vectors a (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*vector.shape, 3)


def exp_rotation(rotation: Tensor) -> Tensor:
    """Return exp(hat(r)) by Rodrigues' formula, differentiable also at zero.

    Args:
        rotation: (..., 3) float, rotation vectors r, radians.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    square = (rotation * rotation).sum(-1)[..., None, None]
    small = square < 1e-8
    # Taylor series near zero, where the closed form is 0 / 0. `where` differentiates both branches,
    # so the closed form gets an angle of 1 there.
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    a = torch.where(small, 1 - square / 6, angle.sin() / angle)
    b = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    k = hat(rotation)
    eye = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return eye + a * k + b * (k @ k)


def from_rotation_translation(rotation: Tensor, translation: Tensor) -> Tensor:
    """Return [R t; 0 1] (block 105), (..., 4, 4), of R (..., 3, 3) and t (..., 3)."""
    top = torch.cat((rotation, translation[..., None]), -1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 0, 3] = 1
    return torch.cat((top, bottom), -2)


def from_vector(vector: Tensor) -> Tensor:
    """Return the motion (..., 4, 4) of (..., 6): rotation vector (radians), then translation."""
    return from_rotation_translation(exp_rotation(vector[..., :3]), vector[..., 3:])


def inverse(matrix: Tensor) -> Tensor:
    """Invert rigid motions (..., 4, 4)."""
    rotation = matrix[..., :3, :3].transpose(-1, -2)
    translation = -(rotation @ matrix[..., :3, 3:])[..., 0]
    return from_rotation_translation(rotation, translation)
