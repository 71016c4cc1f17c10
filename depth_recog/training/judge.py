# SPDX-License-Identifier: Apache-2.0
"""How far a depth image is from the truth: the figures that papers on KITTI give.

Source: Eigen et al., "Depth Map Prediction from a Single Image", 2014; the crop is Garg et al.'s,
"Unsupervised CNN for Single View Depth Estimation", 2016.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

NEAREST, FARTHEST = 1e-3, 80.0
_GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)


class Errors(NamedTuple):
    """Of one image.

    Attributes:
        abs_rel: mean of |depth - truth| / truth.
        abs_rel_median_scaled: the same after scaling by the ratio of the medians.
        a1_median_scaled: share of pixels within a factor of 1.25 of the truth, scaled.
        scale: that ratio, truth over depth.
    """

    abs_rel: float
    abs_rel_median_scaled: float
    a1_median_scaled: float
    scale: float


def garg_crop(height: int, width: int) -> NDArray[np.bool_]:
    """(H, W) bool, where KITTI's depth is judged."""
    top, bottom, left, right = _GARG
    crop = np.zeros((height, width), np.bool_)
    rows = slice(int(top * height), int(bottom * height))
    crop[rows, int(left * width) : int(right * width)] = True
    return crop


def depth_errors(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> Errors:
    """Compare one depth image with sparse truth.

    Args:
        depth: (h, w) float32 metres, any size; enlarged bilinearly to the truth's.
        truth: (H, W) float32 metres, NaN or 0 where unknown.

    Returns:
        Its `Errors`; NaN where the truth has no pixel inside the crop.
    """
    height, width = truth.shape
    enlarged = cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)
    use = garg_crop(height, width) & (truth > NEAREST) & (truth < FARTHEST)
    if not use.any():
        return Errors(np.nan, np.nan, np.nan, np.nan)
    t = truth[use]
    p = np.clip(enlarged[use], NEAREST, FARTHEST)
    scale = float(np.median(t) / np.median(p))
    q = np.clip(p * scale, NEAREST, FARTHEST)
    return Errors(
        float(np.mean(np.abs(p - t) / t)),
        float(np.mean(np.abs(q - t) / t)),
        float(np.mean(np.maximum(q / t, t / q) < 1.25)),
        scale,
    )


def summary(rows: list[Errors]) -> dict[str, float]:
    """Means over images; of the scale the median, and its spread: deviation over median."""
    table = np.array(rows)
    scales = table[:, 3]
    means = dict(zip(Errors._fields[:3], table[:, :3].mean(0).tolist(), strict=True))
    median = float(np.median(scales))
    return {**means, "scale_median": median, "scale_spread": float(scales.std()) / median}
