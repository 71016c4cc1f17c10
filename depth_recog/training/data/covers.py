# SPDX-License-Identifier: Apache-2.0
"""Covered images: black, blurred or noise, wholly or in part. There the depth must be uncertain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

NONE, FLAT, BLURRED, NOISE = range(4)
COLUMNS = 6
"""Kind, grey level 0..1, then left, right, top and bottom edge as shares of the image."""

SHARE = 0.35
"""Of the samples that are covered."""
_WHOLE = 0.6
_BLACK = 0.6
_GRAIN = 0.02
"""Largest noise of a flat cover: that of a sensor in the dark."""


def no_cover() -> Tensor:
    """(`COLUMNS`,) float32 of an image that is not covered."""
    return torch.zeros(COLUMNS)


def draw_cover(rng: np.random.Generator) -> Tensor:
    """(`COLUMNS`,) float32 of one image, drawn at random."""
    if rng.random() >= SHARE:
        return no_cover()
    kind = int(rng.choice((FLAT, FLAT, BLURRED, NOISE)))
    level = 0.0 if rng.random() < _BLACK else float(rng.random())
    edges = np.array((0.0, 1.0, 0.0, 1.0))
    if rng.random() >= _WHOLE:
        wide, high = rng.uniform(0.2, 0.7, 2)
        left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
        edges = np.array((left, left + wide, top, top + high))
    return torch.from_numpy(np.array((kind, level, *edges))).float()


def covered(images: Tensor, covers: Tensor) -> tuple[Tensor, Tensor]:
    """Cover images.

    Args:
        images: (B, 3, H, W) float, 0..1.
        covers: (B, `COLUMNS`) float.

    Returns:
        The images, and (B, 1, H, W) bool, the pixels that are covered.
    """
    height, width = images.shape[2:]
    row = (torch.arange(height, device=images.device) + 0.5) / height
    column = (torch.arange(width, device=images.device) + 0.5) / width
    kind, level, left, right, top, bottom = covers.view(-1, COLUMNS, 1, 1, 1).unbind(1)
    inside = (column >= left) & (column < right) & (row[:, None] >= top) & (row[:, None] < bottom)
    hidden = inside & (kind > NONE)
    if not bool(hidden.any()):
        return images, hidden
    # The noise is a function of the batch, so that a resumed run sees the same.
    seed = int(covers.double().abs().sum().item() * 1e6)
    drawn = torch.rand(images.shape, generator=torch.Generator().manual_seed(seed))
    noise = drawn.to(images)
    flat = (level + (noise - 0.5) * 2 * _GRAIN).clamp(0, 1)
    blurred = interpolate(
        adaptive_avg_pool2d(images, (2, 4)), size=(height, width), mode="bilinear"
    )
    fill = torch.where(kind == FLAT, flat, torch.where(kind == BLURRED, blurred, noise))
    return torch.where(hidden, fill, images), hidden
