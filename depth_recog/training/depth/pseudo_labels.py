# SPDX-License-Identifier: Apache-2.0
"""Terms of the loss that compare with the depth of other networks: the initial one, the teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.masking import SKY
from depth_recog.training.data.batches import TripletBatch

FAINTEST = 1e-4
"""Least inverse depth whose logarithm is taken, 1/m."""
REACH = 2
"""Distance from a triangulated point up to which the teacher does not teach, pixels."""


def start_error(log_inverse: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor]:
    """(B,) mean |log ratio| to the initial depth where no truth is dense, and (B,) its pixels."""
    change = (log_inverse - batch.anchor.clamp(min=FAINTEST).log()).abs()
    return masked_mean(change, _without_truth(batch) & (batch.anchor > 0))


def teacher_error(log_inverse: Tensor, batch: TripletBatch, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Compare with the teacher's depth where motion shows none.

    Args:
        log_inverse: (B, 1, H, W) log of the inverse depth.
        batch: with the teacher's depth.
        seen: (B, 1, H, W) bool, where the photometric error counts: there motion shows the depth.

    Returns:
        (B,) mean |log ratio| outside the sky in images without dense truth, and (B,) its pixels.
    """
    change = (log_inverse - batch.teacher.clamp(min=FAINTEST).log()).abs()
    taught = (batch.teacher > 0) & (batch.labels != SKY) & ~seen & ~_near_points(batch, seen)
    return masked_mean(change, _without_truth(batch) & taught)


def _near_points(batch: TripletBatch, image: Tensor) -> Tensor:
    """(B, 1, H, W) bool, pixels at most `REACH` columns and rows from a triangulated point."""
    height, width = image.shape[2:]
    columns = batch.points[..., 0].round().long().clamp(0, width - 1)
    rows = batch.points[..., 1].round().long().clamp(0, height - 1)
    used = (batch.weights > 0).to(batch.points.dtype)
    marks = used.new_zeros(len(used), height * width)
    marks.scatter_reduce_(1, rows * width + columns, used, "amax")
    return max_pool2d(marks.view(-1, 1, height, width), 2 * REACH + 1, 1, REACH) > 0


def _without_truth(batch: TripletBatch) -> Tensor:
    """(B, 1, 1, 1) bool, images that have no dense truth."""
    return ~torch.isfinite(batch.truth).flatten(1).any(1).view(-1, 1, 1, 1)
