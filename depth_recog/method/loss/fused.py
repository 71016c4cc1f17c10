# SPDX-License-Identifier: Apache-2.0
"""The photometric error of block 108 for many projection images of one image, made for training.

The same figures as `method.photometric.photometric_error`, which is its reference in the tests.
What is saved: the statistics of I1 are computed once for all of its projection images; box filters
are separable; the backward pass is written out, so that three box filters replace the tape of some
thirty operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from depth_recog.method.loss.photometric import ALPHA

_C1, _C2 = 0.01**2, 0.03**2


def _sum3(x: Tensor, axis: int, adjoint: bool) -> Tensor:
    """Sums of three neighbours along an axis, reflected at both ends; or the adjoint of that."""
    last = x.shape[axis] - 1
    y = x.clone()
    y.narrow(axis, 1, last).add_(x.narrow(axis, 0, last))
    y.narrow(axis, 0, last).add_(x.narrow(axis, 1, last))
    to, source = ((1, last - 1), (0, last)) if adjoint else ((0, last), (1, last - 1))
    for i, j in zip(to, source, strict=True):
        y.select(axis, i).add_(x.select(axis, j))
    return y


def box(x: Tensor) -> Tensor:
    """Means over 3x3 windows, reflected at the border; (..., H, W), H and W at least 3."""
    return _sum3(_sum3(x, -1, False), -2, False).mul_(1 / 9)


def box_adjoint(x: Tensor) -> Tensor:
    """Takes gradients back through `box`: its transpose, where both are seen as matrices."""
    return _sum3(_sum3(x, -2, True), -1, True).mul_(1 / 9)


class Reference(NamedTuple):
    """I1 and its statistics over 3x3 windows, each (B, C, H, W) float."""

    image: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, image: Tensor) -> Reference:
        """Of (B, C, H, W) float, 0..1."""
        mean = box(image)
        return cls(image, mean, box(image * image).addcmul_(mean, mean, value=-1))


class _Error(torch.autograd.Function):
    """Lt of images against a reference; differentiable in the images, once."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, x: Tensor, mx: Tensor, vx: Tensor, alpha: float) -> Tensor:
        my = box(image)
        xy = box(x * image)
        yy = box(image * image)
        difference = x - image
        n1 = (mx * my).mul_(2).add_(_C1)
        n2 = xy.mul_(2).sub_(n1).add_(_C1 + _C2)
        d1 = (mx * mx).add_(_C1) + my * my
        d2 = yy.addcmul_(my, my, value=-1).add_(vx).add_(_C2)
        a = n1 / d1.mul(d2)
        s = a * n2
        error = ((1 - s).mul_(0.5).clamp_(0, 1)).mul_(alpha)
        error.add_(difference.abs_(), alpha=1 - alpha)
        if ctx.needs_input_grad[0]:
            # By the mean, by the mean of x y, and by the mean of y y: see box_adjoint's use below.
            by_yy = (s / d2).neg_()
            by_my = n2.div_(d1.mul(d2)).sub_(a).mul_(mx).sub_((s / d1).mul_(my))
            by_my.addcmul_(my, by_yy, value=-1).mul_(2)
            ctx.save_for_backward(image, x, by_my, a.mul_(2), by_yy)
            ctx.alpha = alpha
        return error.mean(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, x, by_my, by_xy, by_yy = ctx.saved_tensors
        g = gradient.unsqueeze(2) / image.shape[2]
        structure = g * (-ctx.alpha / 2)
        result = box_adjoint(by_my * structure)
        result.addcmul_(x, box_adjoint(by_xy * structure))
        result.addcmul_(image, box_adjoint(by_yy * structure), value=2)
        result.addcmul_(torch.sign(image - x), g, value=1 - ctx.alpha)
        return result, None, None, None, None


def photometric_errors(reference: Reference, images: Tensor, alpha: float = ALPHA) -> Tensor:
    """Lt, pixel by pixel, averaged over the channels, of G images for each of B.

    Args:
        reference: of I1.
        images: (G, B, C, H, W) float, 0..1: projection images.
        alpha: weight of the structural part.

    Returns:
        (G, B, H, W); differentiable in `images`.
    """
    error: Tensor = _Error.apply(images, *reference, alpha)  # type: ignore[no-untyped-call]
    return error
