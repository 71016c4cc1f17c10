# SPDX-License-Identifier: Apache-2.0
"""Block 107, claim 5: target image and target projection image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Target(NamedTuple):
    """What block 108 compares.

    Attributes:
        image: (B, C, H, W) float, the target image: I1, or its static image.
        projection: (B, C, H, W) float, the target projection image.
        masked: (B, 1, H, W) bool, pixels that are left out of both.
    """

    image: Tensor
    projection: Tensor
    masked: Tensor


def target_images(
    first: Tensor, projection: Tensor, dynamic: Tensor, moving: bool | Tensor
) -> Target:
    """Mask the dynamic positions of I1 and of its projection image if they move.

    Args:
        first: (B, C, H, W) float, I1.
        projection: (B, C, H, W) float, the projection image of I1.
        dynamic: (B, 1, H, W) bool, dynamic positions in I1.
        moving: one decision for the images, or (B,) bool, one for each.

    Returns:
        A `Target`; nothing is masked where nothing moves.
    """
    decisions = torch.as_tensor(moving, device=first.device).expand(len(first)).view(-1, 1, 1, 1)
    masked = dynamic & decisions
    zero = torch.zeros_like(first)
    return Target(torch.where(masked, zero, first), torch.where(masked, zero, projection), masked)
