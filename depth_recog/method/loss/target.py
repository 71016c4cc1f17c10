# SPDX-License-Identifier: Apache-2.0
"""The target images that block 108 compares (block 107, claim 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Target(NamedTuple):
    """The images that block 108 compares.

    Attributes:
        image: (B, C, H, W) float, the target image: I1, or its static image.
        projection: (B, C, H, W) float, the target projection image.
        masked: (B, 1, H, W) bool, pixels that are masked in both.
    """

    image: Tensor
    projection: Tensor
    masked: Tensor


def target_images(
    first: Tensor, projection: Tensor, dynamic: Tensor, moving: bool | Tensor
) -> Target:
    """Mask the dynamic pixels of I1 and of its projection image if the objects move.

    Source: block 107, claim 5.

    Args:
        first: (B, C, H, W) float, I1.
        projection: (B, C, H, W) float, the projection image of I1.
        dynamic: (B, 1, H, W) bool, dynamic pixels of I1.
        moving: one decision for all images, or (B,) bool, one per image.

    Returns:
        A `Target`; nothing is masked in images whose objects do not move.
    """
    decisions = torch.as_tensor(moving, device=first.device).expand(len(first)).view(-1, 1, 1, 1)
    masked = dynamic & decisions
    zero = torch.zeros_like(first)
    return Target(torch.where(masked, zero, first), torch.where(masked, zero, projection), masked)
