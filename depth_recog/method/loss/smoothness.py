# SPDX-License-Identifier: Apache-2.0
"""Gradient error of block 108 (claim 7): depth is to be smooth where the image is."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_error(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """Return Ls = |dx d| exp(-|dx I|) + |dy d| exp(-|dy I|), d the inverse depth over its mean.

    It is computed inside masked regions too: the depth of a region without any loss is arbitrary.

    Args:
        inverse_depth: (B, 1, H, W) float, positive; NaN where unknown, left out.
        image: (B, C, H, W) float, 0..1, unmasked.

    Returns:
        Scalar.
    """
    known = torch.isfinite(inverse_depth)
    d = torch.where(known, inverse_depth, torch.zeros_like(inverse_depth))
    count = known.sum((2, 3), keepdim=True).clamp(min=1)
    d = d / (d.sum((2, 3), keepdim=True) / count).clamp(min=1e-7)
    return _along(d, known, image, 2) + _along(d, known, image, 3)


def _along(d: Tensor, known: Tensor, image: Tensor, axis: int) -> Tensor:
    """Return the mean of |d'| exp(-|I'|) along one axis, over neighbours that are both known."""
    length = known.shape[axis] - 1
    both = known.narrow(axis, 1, length) & known.narrow(axis, 0, length)
    edges = image.diff(dim=axis).abs().mean(1, keepdim=True)
    error = torch.where(both, d.diff(dim=axis).abs() * (-edges).exp(), torch.zeros_like(edges))
    return error.sum() / both.sum().clamp(min=1)
