# SPDX-License-Identifier: Apache-2.0
"""Block 108 for one pair: L = Lt + w Ls over what may be compared."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from depth_recog.method.geometry.projection import projection_image, touches
from depth_recog.method.loss import photometric
from depth_recog.method.loss.smoothness import gradient_error

SMOOTHNESS = 1e-3


class PairError(NamedTuple):
    """The photometric comparison of I1 with its projection image.

    Attributes:
        error: (B, 1, H, W) float, Lt pixel by pixel.
        valid: (B, 1, H, W) bool, what may enter the mean.
        projection: (B, C, H, W) float, the projection image.
    """

    error: Tensor
    valid: Tensor
    projection: Tensor


class PairLoss(NamedTuple):
    """L of a batch and its parts, scalars; `pixels` is how many were compared."""

    total: Tensor
    photometric: Tensor
    smoothness: Tensor
    pixels: Tensor


def pair_error(
    first: Tensor,
    second: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    T_second_from_first: Tensor,
    masked_first: Tensor | None = None,
    masked_second: Tensor | None = None,
    alpha: float = photometric.ALPHA,
) -> PairError:
    """Photometric error and the pixels where it means something (block 107, claim 5).

    A pixel counts when it is not masked in I1, its point lies in front of the second camera and
    inside I2, none of the four taps falls into I2's mask, and the same holds for its 3x3 window.

    Args:
        first: (B, C, H, W) float, 0..1, I1.
        second: (B, C, H, W) float, 0..1, I2.
        depth: (B, 1, H, W) float, D1.
        intrinsics: (B, 3, 3) float, pixels.
        T_second_from_first: (B, 4, 4) float.
        masked_first: (B, 1, H, W) bool, what is left out of I1; None for nothing.
        masked_second: (B, 1, H, W) bool, what is left out of I2 (dilated by the caller).
        alpha: weight of the structural part.

    Returns:
        A `PairError`.
    """
    image, projection = projection_image(second, depth, intrinsics, T_second_from_first)
    valid = projection.valid
    if masked_first is not None:
        valid = valid & ~masked_first
    if masked_second is not None:
        valid = valid & ~touches(masked_second, projection.pixels)
    error = photometric.photometric_error(first, image, alpha)
    return PairError(error, photometric.whole_windows(valid), image)


def pair_loss(
    first: Tensor,
    second: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    T_second_from_first: Tensor,
    masked_first: Tensor | None = None,
    masked_second: Tensor | None = None,
    smoothness: float = SMOOTHNESS,
    grey: bool = False,
) -> PairLoss:
    """L = Lt + w Ls (claim 7), means over valid pixels.

    A pair without a valid pixel is skipped: it adds nothing, and never NaN.

    Args:
        first: (B, 3, H, W) float, 0..1, I1.
        second: (B, 3, H, W) float, 0..1, I2.
        depth: (B, 1, H, W) float, D1.
        intrinsics: (B, 3, 3) float, pixels.
        T_second_from_first: (B, 4, 4) float.
        masked_first: (B, 1, H, W) bool or None.
        masked_second: (B, 1, H, W) bool or None.
        smoothness: w. The text has 1, which flattens everything.
        grey: compare grey images, as the text does, instead of RGB.

    Returns:
        A `PairLoss`; the total is differentiable in the depth and in the motion.
    """
    x, y = (photometric.grey(first), photometric.grey(second)) if grey else (first, second)
    error, valid, _ = pair_error(
        x, y, depth, intrinsics, T_second_from_first, masked_first, masked_second
    )
    means, counts = photometric.masked_mean(error, valid)
    pairs = (counts > 0).sum().clamp(min=1)
    structure = means.sum() / pairs
    known = torch.isfinite(depth) & (depth > 0)
    unknown = torch.full_like(depth, torch.nan)
    inverse = torch.where(known, 1 / torch.where(known, depth, torch.ones_like(depth)), unknown)
    gradient = gradient_error(inverse, x)
    return PairLoss(structure + smoothness * gradient, structure, gradient, counts.sum())


def minimum_over_neighbours(errors: list[Tensor], valids: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The least error over several neighbours: what one of them hides, another one shows.

    Source: Godard et al., "Digging Into Self-Supervised Monocular Depth Estimation", 2019.

    Args:
        errors: tensors (B, 1, H, W).
        valids: tensors (B, 1, H, W) bool.

    Returns:
        (B, 1, H, W) errors and (B, 1, H, W) bool: valid where any neighbour is.
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
    """Auto-masking: pixels which the unmoved neighbour explains better than the projection does.

    Args:
        error: (B, 1, H, W) float, the (least) photometric error of the projection images.
        first: (B, C, H, W) float, I1.
        seconds: tensors (B, C, H, W), the neighbours themselves.
        alpha: weight of the structural part.

    Returns:
        (B, 1, H, W) bool, True where the pixel should be left out.
    """
    with torch.no_grad():
        unmoved = torch.stack([photometric.photometric_error(first, s, alpha) for s in seconds])
        return unmoved.amin(0) <= error
