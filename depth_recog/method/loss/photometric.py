# SPDX-License-Identifier: Apache-2.0
"""Photometric error of block 108 (claims 7 and 8), and means over valid pixels.

Lt = alpha (1 - SSIM) / 2 + (1 - alpha) |x - y|, pixel by pixel.

`photometric_error` is the slow reference of `fused.photometric_errors`, which training uses.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

ALPHA = 0.85


def ssim(first: Tensor, second: Tensor, dynamic_range: float = 1.0) -> Tensor:
    """Return the structural similarity over 3x3 windows, reflected at the border.

    Source: claim 8; Wang et al., "Image Quality Assessment", 2004, with a box window.

    Args:
        first: (B, C, H, W) float.
        second: (B, C, H, W) float.
        dynamic_range: the patent's L, 1 for images in 0..1; c1 = (0.01 L)^2, c2 = (0.03 L)^2.

    Returns:
        (B, C, H, W), -1..1.
    """
    c1, c2 = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    x = pad(first, (1, 1, 1, 1), mode="reflect")
    y = pad(second, (1, 1, 1, 1), mode="reflect")
    mean_x, mean_y = avg_pool2d(x, 3, 1), avg_pool2d(y, 3, 1)
    variance_x = avg_pool2d(x * x, 3, 1) - mean_x * mean_x
    variance_y = avg_pool2d(y * y, 3, 1) - mean_y * mean_y
    covariance = avg_pool2d(x * y, 3, 1) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def photometric_error(first: Tensor, second: Tensor, alpha: float = ALPHA) -> Tensor:
    """Return Lt by pixel, averaged over the channels.

    Args:
        first: (B, C, H, W) float, 0..1, target image.
        second: (B, C, H, W) float, 0..1, target projection image.
        alpha: weight of the structural part.

    Returns:
        (B, 1, H, W), 0..1.
    """
    structure = ((1 - ssim(first, second)) / 2).clamp(0, 1).mean(1, keepdim=True)
    difference = (first - second).abs().mean(1, keepdim=True)
    return alpha * structure + (1 - alpha) * difference


def whole_windows(valid: Tensor) -> Tensor:
    """Find the pixels whose 3x3 window contains valid pixels only.

    A masked pixel in the window would enter its mean. Beyond the image's border the window is
    reflected and contains no other pixels.

    Args:
        valid: (B, 1, H, W) bool, as the result.
    """
    return max_pool2d((~valid).to(torch.float32), 3, 1, 1) == 0


def masked_mean(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over valid pixels of each image.

    Args:
        values: (B, 1, H, W) float; may be NaN where not valid.
        valid: (B, 1, H, W) bool.

    Returns:
        (B,) means, 0 (with zero gradient) if no pixel is valid, and (B,) numbers of valid pixels.
    """
    count = valid.sum((1, 2, 3))
    total = torch.where(valid, values, torch.zeros_like(values)).sum((1, 2, 3))
    return total / count.clamp(min=1), count
