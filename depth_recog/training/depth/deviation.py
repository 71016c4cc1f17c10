# SPDX-License-Identifier: Apache-2.0
"""The loss of the head for the standard deviation of log depth, and its calibration.

The error of log depth is taken as Laplace distributed: its tails are longer than a Gaussian's. The
deviation is the half-width of the interval that holds 68 % of the errors, as a Gaussian's is. No
gradient reaches the depth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.masking import SKY
from depth_recog.training.data.batches import TripletBatch
from depth_recog.training.depth.objective import FARTHEST_EXACT, places, point_errors
from depth_recog.training.loop.trainer import Mean

WITHIN = math.erf(math.sqrt(0.5))
"""Share of errors within one standard deviation: 0.683."""

HALF_WIDTH = -math.log(1 - WITHIN)
"""Half-width of the interval that holds that share, in mean errors of a Laplace distribution."""

COVERED = 1.0
"""Error of log depth that a covered pixel counts as, whatever the depth there happens to be."""

LEAST_ERROR = 0.02
"""Smaller errors count as this. Where all are zero, as in the sky, the likelihood has no bound, and
one wrong pixel would outweigh a batch."""

SHARES = 1.0, 0.2, 0.2, 1.0
"""Of exact depth, sky, covered pixels and points in the loss. With equal ones a bare road, which
looks like a cover, became as uncertain as one."""

_LEAST = 1e-3
_OF_A_FRAME = 4000
"""Most pixels of a frame that calibrate: frames with dense truth must not outvote LiDAR."""


class Doubt(NamedTuple):
    """What the networks say of a batch of images, some of them covered.

    Attributes:
        inverse: (B, 1, H, W) inverse depth, without gradient.
        log_std: (B, 1, H, W) log of the standard deviation of log depth.
    """

    inverse: Tensor
    log_std: Tensor


def negative_log_likelihood(error: Tensor, log_std: Tensor) -> Tensor:
    """That of a Laplace distribution, up to a constant; the least value is at WITHIN's interval.

    Args:
        error: |log depth error|.
        log_std: of the same shape.
    """
    return HALF_WIDTH * error.clamp(min=LEAST_ERROR) * (-log_std).exp() + log_std


def deviation_loss(doubt: Doubt, batch: TripletBatch, hidden: Tensor, mean: Mean) -> Tensor:
    """Mean negative log-likelihood of exact depth, triangulated points, sky and covered pixels.

    The four count by `SHARES`, each image in them the same. Depth of the sky is known to be at
    least `FARTHEST_EXACT`. An image's median error is taken away, of points only where motion is
    not recorded: a wrong factor of the whole image belongs to the scale, which has a deviation of
    its own, and cues of a pixel cannot tell it.

    Args:
        doubt: the prediction for the covered images.
        batch: with truth, labels and points.
        hidden: (B, 1, H, W) bool, covered pixels.
        mean: over processes, see `objective`.
    """
    log_inverse, log_std = doubt.inverse.detach().log(), doubt.log_std
    truth, seen = batch.truth, ~hidden
    exact = torch.isfinite(truth) & (truth < FARTHEST_EXACT)
    sky = torch.isinf(truth) | (torch.isnan(truth) & (batch.labels == SKY))
    error = log_inverse + torch.where(exact, truth, 1.0).log()
    middle = torch.where(exact & seen, error, torch.nan).flatten(1).nanmedian(1).values
    error = (error - middle.nan_to_num()[:, None, None, None]).abs()
    too_near = (log_inverse + math.log(FARTHEST_EXACT)).clamp(min=0)
    error = torch.where(sky, too_near, error)
    error = torch.where(hidden, torch.full_like(error, COVERED), error)
    value = negative_log_likelihood(error, log_std)
    parts = [masked_mean(value, valid) for valid in (exact & seen, sky & seen, hidden)]
    parts.append(_of_points(log_inverse, log_std, batch, hidden))
    counts = mean(torch.stack([(count > 0).sum() for _, count in parts]).float()).clamp(min=1e-9)
    means = torch.stack([values.sum() for values, _ in parts]) / counts
    return (means * means.new_tensor(SHARES)).sum()


def _of_points(
    log_inverse: Tensor, log_std: Tensor, batch: TripletBatch, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """(B,) weighted means over the points that are not covered, and (B,) their numbers."""
    grid = places(batch, log_inverse)
    both = torch.cat((log_std, hidden.to(log_std)), 1)
    at, covered = grid_sample(both, grid, padding_mode="border", align_corners=True).unbind(1)
    weights = batch.weights * (covered[:, 0] == 0)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    error = point_errors(log_inverse, batch, weights).abs()
    value = negative_log_likelihood(error, at[:, 0])
    return (value * weights).sum(1), (weights > 0).sum(1)


class Calibration:
    """Collects errors of held-out frames in units of the deviation that was given for them."""

    def __init__(self) -> None:
        self._errors: list[NDArray[np.float64]] = []
        self._stds: list[NDArray[np.float64]] = []

    def add(
        self, depth: NDArray[np.float64], truth: NDArray[np.float64], std: NDArray[np.float64]
    ) -> None:
        """Add a frame: (N,) depth, true depth and standard deviation, N > 0."""
        chosen = np.linspace(0, len(std) - 1, min(_OF_A_FRAME, len(std))).astype(int)
        self._errors.append(np.abs(np.log(depth / truth))[chosen])
        self._stds.append(std[chosen])

    def add_image(
        self,
        depth: NDArray[np.float32],
        truth: NDArray[np.float32],
        std: NDArray[np.float32],
        use: NDArray[np.bool_],
    ) -> None:
        """Add the pixels of an image, with its depth scaled to the median of the truth.

        Args:
            depth: (H, W).
            truth: (H, W), true depth.
            std: (H, W), standard deviation of log depth.
            use: (H, W) bool, the pixels; one at least.
        """
        answers, values, stds = (x[use].astype(np.float64) for x in (depth, truth, std))
        self.add(answers * float(np.median(values) / np.median(answers)), values, stds)

    @property
    def figures(self) -> dict[str, float]:
        """Negative log-likelihood after the calibration, share within one before; {} if empty."""
        if not self._errors:
            return {}
        factor = self.factor
        stds = [torch.from_numpy(std * factor).log() for std in self._stds]
        pairs = zip(map(torch.from_numpy, self._errors), stds, strict=True)
        likelihoods = [float(negative_log_likelihood(*pair).mean()) for pair in pairs]
        within = float((self._ratios < 1).mean())
        return {"deviation": float(np.mean(likelihoods)), "within_one_deviation": within}

    @property
    def factor(self) -> float:
        """What multiplies the deviations so that 68 % of the errors lie within; 1 if unknown."""
        return max(_LEAST, float(np.quantile(self._ratios, WITHIN))) if self._errors else 1.0

    @property
    def _ratios(self) -> NDArray[np.float64]:
        return np.concatenate(self._errors) / np.concatenate(self._stds)
