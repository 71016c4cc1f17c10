# SPDX-License-Identifier: Apache-2.0
"""Contact depth as a training target for excluded pixels.

Excluded pixels (what moves, or might) get no photometric error. But an upright object is as far
away as the ground where it stands (the assumption of stixels: Badino et al., "The Stixel World",
2009), and the depth of the road is learnt well. The road is a plane fitted to the network's own
inverse depth, so that the target does not depend on the scale.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_recog.method.gate.ground import TUKEY
from depth_recog.method.masking import CITYSCAPES, GROUND, PresetRules

ROAD = CITYSCAPES.index("road")

TOLERANCE = 0.1
"""Error of log depth below which there is no loss: objects have depth, and bumpers overhang."""

LEAST_RISE = 8.0
"""Least distance of a contact from the horizon, pixels: nearer to it, an error of one pixel in the
mask's edge changes the depth by more than the tolerance."""

_STRIDE = 4
_ROUNDS = 5
_LEAST_PIXELS = 60
_LARGEST_RESIDUAL = 0.08
_TINY = 1e-6


_IDS = np.arange(256, dtype=np.uint8)[None]
_GROUND = torch.from_numpy(PresetRules().pixels_of(_IDS, GROUND)[0])
_CATEGORIES = torch.from_numpy(PresetRules().category_ids(_IDS)[0])


def road_planes(inverse: Tensor, road: Tensor) -> tuple[Tensor, Tensor]:
    """Fit planes to the road: in the image, a plane has inverse depth a u + b v + c.

    Iteratively reweighted least squares with Tukey's weights on the relative error; near pixels
    weigh more.

    Args:
        inverse: (B, 1, H, W) float, inverse depth.
        road: (B, 1, H, W) bool.

    Returns:
        (B, 3) a, b, c, and (B,) bool, whether the fit is good and the plane below the camera.
    """
    batch, _, height, width = inverse.shape
    # (B, P) for P pixels on a grid of _STRIDE
    seen = inverse[..., ::_STRIDE, ::_STRIDE].reshape(batch, -1).double()
    use = road[..., ::_STRIDE, ::_STRIDE].reshape(batch, -1).double()
    v, u = torch.meshgrid(
        torch.arange(0, height, _STRIDE, device=inverse.device, dtype=torch.float64) / height,
        torch.arange(0, width, _STRIDE, device=inverse.device, dtype=torch.float64) / width,
        indexing="ij",
    )
    terms = torch.stack((u.flatten(), v.flatten(), torch.ones_like(u).flatten()), -1)  # (P, 3)
    weights = use / seen
    little = _TINY * torch.eye(3, dtype=torch.float64, device=inverse.device)
    for _ in range(_ROUNDS):
        weighted = terms * weights[..., None]  # (B, P, 3)
        normal = weighted.transpose(1, 2) @ terms  # (B, 3, 3)
        scale = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + _TINY
        right = weighted.transpose(1, 2) @ seen[..., None]
        plane = torch.linalg.solve(normal / scale + little, right / scale)[..., 0]  # (B, 3)
        off = (plane @ terms.T / seen - 1).abs()
        typical = torch.where(use > 0, off, torch.nan).nanmedian(1).values.nan_to_num(1.0)
        limit = TUKEY * typical.clamp(min=1e-3)[:, None]
        weights = use / seen * (1 - (off / limit).square()).clamp(min=0).square()
    enough = use.sum(1) >= _LEAST_PIXELS
    good = enough & (typical < _LARGEST_RESIDUAL) & (plane[:, 1] > 0)
    per_pixel = plane / plane.new_tensor([width, height, 1.0])
    return per_pixel.to(inverse.dtype), good


def contact_inverse(inverse: Tensor, labels: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the inverse depth of the ground where the objects above it touch it.

    Args:
        inverse: (B, 1, H, W) float, by the network; gradients do not pass.
        labels: (B, 1, H, W) uint8, Cityscapes train ids.
        excluded: (B, 1, H, W) bool, pixels that need another target than the images.

    Returns:
        (B, 1, H, W) float, and (B, 1, H, W) bool where it is known.
    """
    inverse = inverse.detach()
    height, width = inverse.shape[2:]
    index = labels.long()
    device = labels.device
    plane, good = road_planes(inverse, labels == ROAD)
    categories = _CATEGORIES.to(device)[index]
    row = torch.arange(height, device=device).view(1, 1, -1, 1).expand_as(labels)
    # For each pixel, the last row of the same category below it: the object's lower edge, or the
    # edge to another object in front of it. Static pixels end above an object or at the bottom of
    # the image, so never on the ground.
    last = torch.full_like(row, height - 1)
    ends = torch.where(
        categories[..., 1:, :] != categories[..., :-1, :], row[..., :-1, :], last[..., 1:, :]
    )
    ends = torch.cat((ends, last[..., -1:, :]), 2)
    foot = ends.flip(2).cummin(2).values.flip(2)
    below = (foot + 1).clamp(max=height - 1)
    stands = _GROUND.to(device)[index].gather(2, below) & (foot < height - 1)
    a, b, c = (p.view(-1, 1, 1, 1) for p in plane.unbind(1))
    u = torch.arange(width, device=device, dtype=inverse.dtype)
    target = a * u + b * (foot + 0.5) + c
    known = excluded & stands & (target > LEAST_RISE * b) & good.view(-1, 1, 1, 1)
    return torch.where(known, target, torch.ones_like(target)), known


def contact_error(inverse: Tensor, target: Tensor) -> Tensor:
    """|log ratio| beyond `TOLERANCE`; the shape of the arguments."""
    return ((inverse / target).log().abs() - TOLERANCE).clamp(min=0)
