# SPDX-License-Identifier: Apache-2.0
"""The usual metrics of monocular depth, for one image or many pixels.

Source: Eigen et al., "Depth Map Prediction from a Single Image", 2014 (abs_rel to a3, silog); the
crop is Garg et al.'s, "Unsupervised CNN for Single View Depth Estimation", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "silog", "a1", "a2", "a3")
CROPS = ("garg", "none")
NEAREST = 1e-3
_GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """Which pixels are compared.

    Attributes:
        crop: one of `CROPS`; Garg's crop excludes sky, bonnet and sides of KITTI's images.
        cap: pixels with a true depth from here on are excluded, metres.

    Raises:
        ConfigurationError: the crop is unknown, or the cap is not positive.
    """

    crop: str = "garg"
    cap: float = 80.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ConfigurationError(f"unknown crop {self.crop!r}; known: {', '.join(CROPS)}")
        if not NEAREST < self.cap < np.inf:
            raise ConfigurationError(f"cap {self.cap} m: more than {NEAREST} m is needed")

    def judged(self, truth: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which pixels of a (H, W) true depth are compared, (H, W) bool."""
        height, width = truth.shape
        known: NDArray[np.bool_] = (truth > NEAREST) & (truth < self.cap)
        if self.crop == "garg":
            top, bottom, left, right = _GARG
            inside = np.zeros_like(known)
            rows = slice(int(top * height), int(bottom * height))
            inside[rows, int(left * width) : int(right * width)] = True
            known &= inside
        return known

    def usable(self, depth: Values) -> Values:
        """Return the depth for the comparison: the cap where it is missing or infinite.

        Pixels without depth are not excluded, because a method could improve its figures by leaving
        difficult pixels out. A finite depth beyond the cap is not changed; KITTI's own scripts clip
        it, which can only improve a method's figures.
        """
        answered = np.isfinite(depth) & (depth > 0)
        return np.where(answered, np.maximum(depth, NEAREST), self.cap)


def terms(depth: Values, truth: Values) -> Values:
    """Return the terms of the metrics, pixel by pixel.

    Args:
        depth: (N,) metres, positive.
        truth: (N,) metres, positive.

    Returns:
        (9, N): |d - t| / t, (d - t)^2 / t, (d - t)^2, log^2(d / t), log(d / t), whether d is within
        a factor of 1.25, 1.25^2, 1.25^3 of t, and 1.
    """
    difference = depth - truth
    ratio = depth / truth
    log = np.log(ratio)
    factor = np.maximum(ratio, truth / depth)
    square = difference**2
    each = np.abs(difference) / truth, square / truth, square, log**2, log
    within = (factor < 1.25**power for power in (1, 2, 3))
    return np.stack((*each, *within, np.ones_like(truth)))


def figures(total: Values) -> dict[str, float]:
    """Return `METRICS` from the sum of `terms` over pixels, (9,); NaN without pixels.

    silog is 100 times the standard deviation of log(d / t), as in KITTI's benchmark.
    """
    count = total[8]
    if count == 0:
        return dict.fromkeys(METRICS, np.nan)
    mean = total[:8] / count
    silog = 100 * np.sqrt(max(mean[3] - mean[4] ** 2, 0.0))
    values = (*mean[:2], *np.sqrt(mean[2:4]), silog, *mean[5:8])
    return dict(zip(METRICS, map(float, values), strict=True))
