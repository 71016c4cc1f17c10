# SPDX-License-Identifier: Apache-2.0
"""Gradient error of block 108 (claim 7): depth should be smooth where the image is."""

from __future__ import annotations

from torch import Tensor


def gradient_error(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """Ls = |dx d| exp(-|dx I|) + |dy d| exp(-|dy I|), d the inverse depth over its mean.

    It goes on inside masked regions, with I1's edges: a region without any loss becomes a hole.

    Args:
        inverse_depth: (B, 1, H, W) float, positive.
        image: (B, C, H, W) float, 0..1, unmasked.

    Returns:
        Scalar.
    """
    d = inverse_depth / inverse_depth.mean((2, 3), keepdim=True).clamp(min=1e-7)
    dx = (d[..., :, 1:] - d[..., :, :-1]).abs()
    dy = (d[..., 1:, :] - d[..., :-1, :]).abs()
    edges_x = (image[..., :, 1:] - image[..., :, :-1]).abs().mean(1, keepdim=True)
    edges_y = (image[..., 1:, :] - image[..., :-1, :]).abs().mean(1, keepdim=True)
    return (dx * (-edges_x).exp()).mean() + (dy * (-edges_y).exp()).mean()
