# SPDX-License-Identifier: Apache-2.0
"""Photometric error of block 108 for many projection images of one image: the fast form.

Training uses this form. Its slow reference is `photometric.photometric_error`; a test compares
both. It is faster because the statistics of I1 are computed once for all projection images, box
filters are separable, and a hand-written backward pass needs three box filters instead of about
thirty recorded operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from depth_recog.method.loss.photometric import ALPHA

_C1, _C2 = 0.01**2, 0.03**2


def _sum3(x: Tensor, axis: int, adjoint: bool) -> Tensor:
    """Sum three neighbours along an axis, reflected at both ends; or apply its adjoint."""
    last = x.shape[axis] - 1
    y = x.clone()
    y.narrow(axis, 1, last).add_(x.narrow(axis, 0, last))
    y.narrow(axis, 0, last).add_(x.narrow(axis, 1, last))
    to, source = ((1, last - 1), (0, last)) if adjoint else ((0, last), (1, last - 1))
    for i, j in zip(to, source, strict=True):
        y.select(axis, i).add_(x.select(axis, j))
    return y


def box(x: Tensor) -> Tensor:
    """Return means over 3x3 windows, reflected at the border; (..., H, W), H and W at least 3."""
    return _sum3(_sum3(x, -1, False), -2, False).mul_(1 / 9)


def box_adjoint(x: Tensor) -> Tensor:
    """Apply the adjoint of `box`, which propagates gradients backward; (..., H, W)."""
    return _sum3(_sum3(x, -2, True), -1, True).mul_(1 / 9)


class Reference(NamedTuple):
    """I1 and its means and variances over 3x3 windows, each (B, C, H, W) float."""

    image: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, image: Tensor) -> Reference:
        """Compute them of (B, C, H, W) float, 0..1."""
        mean = box(image)
        return cls(image, mean, box(image * image).addcmul_(mean, mean, value=-1))


class _Error(torch.autograd.Function):
    """Lt of images y against a reference x; differentiable once, in y.

    With means m over 3x3 windows (`box`):

        n1 = 2 mx my + C1        n2 = 2 (m(x y) - mx my) + C2
        d1 = mx^2 + my^2 + C1    d2 = (m(x^2) - mx^2) + (m(y^2) - my^2) + C2
        S = n1 n2 / (d1 d2)      Lt = alpha (1 - S) / 2 + (1 - alpha) |x - y|

    S depends on y through three box filters, so its gradient needs three adjoint ones:

        dS/d m(y y) = -S / d2
        dS/d m(x y) = 2 n1 / (d1 d2)
        dS/d my = 2 (mx (n2 - n1) / (d1 d2) - my S / d1 + my S / d2)
        dS/dy = box*(dS/d my) + x box*(dS/d m(x y)) + 2 y box*(dS/d m(y y))

    All tensors are (G, B, C, H, W), of x (1, B, C, H, W) or broadcastable to it.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, x: Tensor, mx: Tensor, vx: Tensor, alpha: float) -> Tensor:
        my = box(image)
        xy = box(x * image)
        yy = box(image * image)
        difference = x - image
        n1 = (mx * my).mul_(2).add_(_C1)
        n2 = xy.mul_(2).sub_(n1).add_(_C1 + _C2)  # overwrites xy
        d1 = (mx * mx).add_(_C1) + my * my
        d2 = yy.addcmul_(my, my, value=-1).add_(vx).add_(_C2)  # overwrites yy
        a = n1 / d1.mul(d2)
        s = a * n2  # S
        error = ((1 - s).mul_(0.5).clamp_(0, 1)).mul_(alpha)
        error.add_(difference.abs_(), alpha=1 - alpha)  # overwrites difference
        if ctx.needs_input_grad[0]:
            by_yy = (s / d2).neg_()
            by_my = n2.div_(d1.mul(d2)).sub_(a).mul_(mx).sub_((s / d1).mul_(my))  # overwrites n2
            by_my.addcmul_(my, by_yy, value=-1).mul_(2)
            ctx.save_for_backward(image, x, by_my, a.mul_(2), by_yy)
            ctx.alpha = alpha
        return error.mean(2)  # (G, B, H, W)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, x, by_my, by_xy, by_yy = ctx.saved_tensors
        g = gradient.unsqueeze(2) / image.shape[2]  # (G, B, 1, H, W), of the mean over channels
        structure = g * (-ctx.alpha / 2)  # dLt/dS
        result = box_adjoint(by_my * structure)
        result.addcmul_(x, box_adjoint(by_xy * structure))
        result.addcmul_(image, box_adjoint(by_yy * structure), value=2)
        result.addcmul_(torch.sign(image - x), g, value=1 - ctx.alpha)
        return result, None, None, None, None


def photometric_errors(reference: Reference, images: Tensor, alpha: float = ALPHA) -> Tensor:
    """Return Lt by pixel, averaged over the channels, of G images for each of B.

    Args:
        reference: of I1.
        images: (G, B, C, H, W) float, 0..1: projection images.
        alpha: weight of the structural part.

    Returns:
        (G, B, H, W); differentiable in `images`.
    """
    error: Tensor = _Error.apply(images, *reference, alpha)  # type: ignore[no-untyped-call]
    return error
