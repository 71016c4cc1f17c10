# SPDX-License-Identifier: Apache-2.0
"""Blocks 106 to 108 for one pair of images: the slow reference of `training/objective.py`.

Training uses the fast form, which computes all neighbours and scales at once; a test compares both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from depth_recog.method.geometry.projection import projection_image, touches
from depth_recog.method.loss import photometric


class ImagePair(NamedTuple):
    """Two images and their masks.

    Attributes:
        first: (B, C, H, W) float, 0..1, I1.
        second: (B, C, H, W) float, 0..1, I2.
        masked_first: (B, 1, H, W) bool, masked pixels of I1; None for none.
        masked_second: likewise of I2, dilated by the caller.
    """

    first: Tensor
    second: Tensor
    masked_first: Tensor | None = None
    masked_second: Tensor | None = None


class PairError(NamedTuple):
    """The photometric comparison of I1 with its projection image.

    Attributes:
        error: (B, 1, H, W) float, Lt by pixel.
        valid: (B, 1, H, W) bool, pixels that may enter the mean.
        projection: (B, C, H, W) float, the projection image.
    """

    error: Tensor
    valid: Tensor
    projection: Tensor


def pair_error(
    images: ImagePair,
    depth: Tensor,
    intrinsics: Tensor,
    T_second_from_first: Tensor,
    alpha: float = photometric.ALPHA,
) -> PairError:
    """Compute the photometric error and the pixels where it is valid (block 107, claim 5).

    A pixel is valid if it is not masked in I1, its point lies in front of the second camera and
    inside I2, none of the four taps is masked in I2, and all this holds in its 3x3 window.

    Args:
        images: I1 and I2 with their masks.
        depth: (B, 1, H, W) float, D1.
        intrinsics: (B, 3, 3) float, pixels.
        T_second_from_first: (B, 4, 4) float.
        alpha: weight of the structural part.
    """
    first, second, masked_first, masked_second = images
    image, projection = projection_image(second, depth, intrinsics, T_second_from_first)
    valid = projection.valid
    if masked_first is not None:
        valid = valid & ~masked_first
    if masked_second is not None:
        valid = valid & ~touches(masked_second, projection.pixels)
    error = photometric.photometric_error(first, image, alpha)
    return PairError(error, photometric.whole_windows(valid), image)


def minimum_over_neighbours(errors: list[Tensor], valids: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the least error over several neighbours: what one occludes, another may show.

    Source: Godard et al., "Digging Into Self-Supervised Monocular Depth Estimation", 2019.

    Args:
        errors: tensors (B, 1, H, W).
        valids: tensors (B, 1, H, W) bool.

    Returns:
        (B, 1, H, W) errors, and (B, 1, H, W) bool: valid where any neighbour is.
    """
    stacked = torch.stack(
        [
            torch.where(v, e, torch.full_like(e, torch.inf))
            for e, v in zip(errors, valids, strict=True)
        ]
    )
    least = stacked.amin(0)
    valid = torch.isfinite(least)
    return torch.where(valid, least, torch.zeros_like(least)), valid


def still_pixels(
    error: Tensor, first: Tensor, seconds: list[Tensor], alpha: float = photometric.ALPHA
) -> Tensor:
    """Auto-masking: find pixels that a neighbour itself matches as well as its projection does.

    Args:
        error: (B, 1, H, W) float, the (least) photometric error of the projection images.
        first: (B, C, H, W) float, I1.
        seconds: tensors (B, C, H, W), the neighbours.
        alpha: weight of the structural part.

    Returns:
        (B, 1, H, W) bool, True on pixels to leave out.
    """
    with torch.no_grad():
        unmoved = torch.stack([photometric.photometric_error(first, s, alpha) for s in seconds])
        return unmoved.amin(0) <= error
