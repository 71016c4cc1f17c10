# SPDX-License-Identifier: Apache-2.0
"""Sharp edges: the gradients of the error of log depth."""

from __future__ import annotations

from torch import Tensor

from depth_recog.method.loss.photometric import masked_mean

STRIDES = (1, 2, 4)
LARGEST_STEP = 1.5
"""Largest step of the error between neighbouring pixels that counts."""


def edge_error(error: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of an error map at `STRIDES`: they are large where an edge is blurred.

    A step of more than `LARGEST_STEP` counts as that: there the edge is displaced, not blurred.
    Source: the gradient matching term of MegaDepth (Li and Snavely 2018).

    Args:
        error: (B, 1, H, W) error of the log depth.
        known: (B, 1, H, W) bool, where it counts.

    Returns:
        (B,) sum over the strides of the mean |gradient|, and (B,) pixels that count.
    """
    total = error.new_zeros(len(error))
    for stride in STRIDES:
        some, there = error[..., ::stride, ::stride], known[..., ::stride, ::stride]
        for axis in (2, 3):
            step = some.diff(dim=axis).abs().clamp(max=LARGEST_STEP)
            count = there.shape[axis] - 1
            both = there.narrow(axis, 0, count) & there.narrow(axis, 1, count)
            total = total + masked_mean(step, both)[0]
    return total, known.flatten(1).sum(1)
