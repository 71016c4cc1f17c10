# SPDX-License-Identifier: Apache-2.0
"""What is left out of the comparison still stands on the ground: its contact says how far it is.

Nothing photometric teaches the depth of what moves: it is masked, or it would teach a motion as
depth. But below it is road, whose depth is learnt well, and an upright thing is as far as the
ground at its lower edge (the assumption of stixels: Badino et al., "The Stixel World", 2009). The
road is taken as a plane fitted to the network's own depth, so that no scale is asked for.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_recog.method.gate.ground import TUKEY
from depth_recog.method.masking import GROUND, PresetRules
from depth_recog.training.flatness import ROAD

TOLERANCE = 0.1
"""Of log depth: things are not flat, and bumpers hang over the wheels. Below it nothing is said."""

LEAST_RISE = 8.0
"""Pixels of a contact below the horizon: nearer to it, an edge's error is more than the tolerance
allows (a mask's edge is off by a pixel)."""

_STRIDE = 4
_ROUNDS = 5
_LEAST_PIXELS = 60
_LARGEST_RESIDUAL = 0.08
_TINY = 1e-6


_IDS = np.arange(256, dtype=np.uint8)[None]
_GROUND = torch.from_numpy(PresetRules().pixels_of(_IDS, GROUND)[0])
_GROUPS = torch.from_numpy(PresetRules().category_ids(_IDS)[0])


def road_planes(inverse: Tensor, road: Tensor) -> tuple[Tensor, Tensor]:
    """Planes through the road: inverse depth = a u + b v + c, which every plane's is.

    Tukey's weights on the error's share of the depth; near pixels, which are seen best, count most.

    Args:
        inverse: (B, 1, H, W) float.
        road: (B, 1, H, W) bool.

    Returns:
        (B, 3) a, b, c, and (B,) bool, whether it is a plane below a camera and fits.
    """
    batch, _, height, width = inverse.shape
    seen = inverse[..., ::_STRIDE, ::_STRIDE].reshape(batch, -1).double()
    use = road[..., ::_STRIDE, ::_STRIDE].reshape(batch, -1).double()
    v, u = torch.meshgrid(
        torch.arange(0, height, _STRIDE, device=inverse.device, dtype=torch.float64) / height,
        torch.arange(0, width, _STRIDE, device=inverse.device, dtype=torch.float64) / width,
        indexing="ij",
    )
    terms = torch.stack((u.flatten(), v.flatten(), torch.ones_like(u).flatten()), -1)
    weights = use / seen
    little = _TINY * torch.eye(3, dtype=torch.float64, device=inverse.device)
    for _ in range(_ROUNDS):
        weighted = terms * weights[..., None]
        normal = weighted.transpose(1, 2) @ terms
        scale = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + _TINY
        right = weighted.transpose(1, 2) @ seen[..., None]
        plane = torch.linalg.solve(normal / scale + little, right / scale)[..., 0]
        off = (plane @ terms.T / seen - 1).abs()
        typical = torch.where(use > 0, off, torch.nan).nanmedian(1).values.nan_to_num(1.0)
        limit = TUKEY * typical.clamp(min=1e-3)[:, None]
        weights = use / seen * (1 - (off / limit).square()).clamp(min=0).square()
    enough = use.sum(1) >= _LEAST_PIXELS
    good = enough & (typical < _LARGEST_RESIDUAL) & (plane[:, 1] > 0)
    per_pixel = plane / plane.new_tensor([width, height, 1.0])
    return per_pixel.to(inverse.dtype), good


def contact_inverse(inverse: Tensor, labels: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse depth of the ground where the things above it touch it.

    Args:
        inverse: (B, 1, H, W) float, the network's; no gradient goes through it.
        labels: (B, 1, H, W) uint8, Cityscapes train ids.
        left_out: (B, 1, H, W) bool, where something else is to be learnt from.

    Returns:
        (B, 1, H, W) float, and bool where it is known.
    """
    inverse = inverse.detach()
    height, width = inverse.shape[2:]
    index = labels.long()
    device = labels.device
    plane, good = road_planes(inverse, labels == ROAD)
    groups = _GROUPS.to(device)[index]
    row = torch.arange(height, device=device).view(1, 1, -1, 1).expand_as(labels)
    # The row below which a pixel's thing ends: what stands behind it begins above another edge.
    # What is no thing ends above a thing, or with the picture: never on the ground.
    last = torch.full_like(row, height - 1)
    ends = torch.where(
        groups[..., 1:, :] != groups[..., :-1, :], row[..., :-1, :], last[..., 1:, :]
    )
    ends = torch.cat((ends, last[..., -1:, :]), 2)
    foot = ends.flip(2).cummin(2).values.flip(2)
    below = (foot + 1).clamp(max=height - 1)
    stands = _GROUND.to(device)[index].gather(2, below) & (foot < height - 1)
    a, b, c = (p.view(-1, 1, 1, 1) for p in plane.unbind(1))
    u = torch.arange(width, device=device, dtype=inverse.dtype)
    target = a * u + b * (foot + 0.5) + c
    known = left_out & stands & (target > LEAST_RISE * b) & good.view(-1, 1, 1, 1)
    return torch.where(known, target, torch.ones_like(target)), known


def contact_error(inverse: Tensor, target: Tensor) -> Tensor:
    """|log ratio| beyond `TOLERANCE`, of the same shape."""
    return ((inverse / target).log().abs() - TOLERANCE).clamp(min=0)
