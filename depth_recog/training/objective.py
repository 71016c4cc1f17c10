# SPDX-License-Identifier: Apache-2.0
"""Block 108 on a batch: photometric error over two neighbours and two scales, and what joins it.

The same figures as `method.loss` gives pair by pair and scale by scale (the tests compare them),
computed at once: K R K^-1 H and K t do not depend on the scale, a pixel's projection is linear in
its inverse depth, each neighbour is sampled once for all scales, and what the unmoved neighbours
explain is the same at every scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from depth_recog.method.geometry.projection import NEAREST, pixel_grid, sample, touches
from depth_recog.method.loss.fused import Reference, photometric_errors
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.loss.smoothness import gradient_error
from depth_recog.method.masking import SKY
from depth_recog.training.batches import Batch
from depth_recog.training.config import Loss
from depth_recog.training.contact import contact_error, contact_inverse
from depth_recog.training.flatness import ROAD
from depth_recog.training.learner import Prediction

SCALE_WEIGHTS = (1.0, 0.5)
LEAST_ROAD = 0.03
"""Share of an image that the road must fill to hold its scale; else all pixels do."""

FARTHEST_EXACT = 80.0
"""Metres: beyond it an exact depth is not learnt, as it is not judged."""
_BORDER = 1e-3

Count = Callable[[Tensor], Tensor]
"""Numbers of what this process compared -> their means over all processes."""


class Compared(NamedTuple):
    """The comparison of a batch with its neighbours.

    Attributes:
        error: (S, B, 1, H, W), least photometric error over the neighbours at S scales.
        seen: (S, B, 1, H, W) bool, where any neighbour can be compared.
        valid: (S, B, 1, H, W) bool, what enters the mean: seen, and not explained by rest.
        images: (N, B, 3, S, H, W), projection images of N neighbours.
    """

    error: Tensor
    seen: Tensor
    valid: Tensor
    images: Tensor


class Terms(NamedTuple):
    """The loss and its parts, weighted; scalars."""

    total: Tensor
    photometric: Tensor
    smoothness: Tensor
    exact: Tensor
    contact: Tensor
    sky: Tensor
    scale: Tensor


def compare(
    first: Tensor,
    seconds: Tensor,
    inverses: list[Tensor],
    intrinsics: Tensor,
    motions: Tensor,
    masked: Tensor,
    alpha: float,
) -> Compared:
    """Blocks 106 to 108 on N neighbours and S scales.

    Args:
        first: (B, 3, H, W) float, 0..1, the frames.
        seconds: (N, B, 3, H, W) float, their neighbours.
        inverses: S inverse depths, (B, 1, h, w), enlarged bilinearly.
        intrinsics: (B, 3, 3) float, pixels.
        motions: (N, B, 4, 4) float, T_neighbour_from_frame.
        masked: (N, B, 2, H, W) bool, left out in the frame and in the neighbour.
        alpha: weight of the structural part.
    """
    neighbours, batch = seconds.shape[:2]
    height, width = first.shape[2:]
    scales = len(inverses)
    inverse = torch.cat([_enlarged(i, height, width) for i in inverses], 1)
    pixels, seen = _project(inverse, intrinsics, motions)
    # All scales one below the other: one sampling for each neighbour, and no copies of it.
    tall = pixels.reshape(neighbours * batch, scales * height, width, 2)
    flat = seconds.flatten(0, 1)
    images = sample(flat, tall).view(neighbours, batch, 3, scales, height, width)
    with torch.no_grad():
        valid = seen & ~masked[:, :, :1]
        if masked.is_cuda or masked.any():  # asking a GPU would cost more than it saves
            hit = touches(masked[:, :, 1].flatten(0, 1)[:, None], tall.detach())
            valid &= ~hit.view(valid.shape)
        valid = _whole_windows(valid)
    reference = Reference.of(first)
    across = Reference(*(part.unsqueeze(2) for part in reference))
    errors = photometric_errors(across, images, alpha)
    with torch.no_grad():
        still = photometric_errors(reference, seconds, alpha).amin(0)
    error = torch.where(valid, errors, torch.inf).amin(0)
    found = torch.isfinite(error)
    error = torch.where(found, error, torch.zeros_like(error))
    taught = found & (still[:, None] > error)
    error, found, taught = (t.transpose(0, 1)[:, :, None] for t in (error, found, taught))
    return Compared(error, found, taught, images)


def _enlarged(inverse: Tensor, height: int, width: int) -> Tensor:
    if inverse.shape[2:] == (height, width):
        return inverse
    return interpolate(inverse, size=(height, width), mode="bilinear", align_corners=False)


def _project(inverse: Tensor, intrinsics: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    """Where pixels come to lie: (N, B, S, H, W, 2), and (N, B, S, H, W) bool where that is seen.

    With q = K R K^-1 H and b = K t, a pixel of inverse depth i is projected to q + i b: block 106
    with both sides divided by Z.
    """
    height, width = inverse.shape[2:]
    rays = torch.linalg.inv(intrinsics) @ pixel_grid(height, width, inverse)
    q = (intrinsics @ motions[..., :3, :3]) @ rays
    q = q.view(*motions.shape[:2], 3, 1, height, width)
    b = (intrinsics @ motions[..., :3, 3:]).view(*motions.shape[:2], 3, 1, 1, 1)
    z = torch.addcmul(q[:, :, 2], inverse, b[:, :, 2])
    # Divided by the depth: the point is in front of the camera, and not on its plane.
    front = z > NEAREST * inverse.detach()
    over = 1 / torch.where(front, z, torch.ones_like(z))
    u = torch.addcmul(q[:, :, 0], inverse, b[:, :, 0]) * over
    v = torch.addcmul(q[:, :, 1], inverse, b[:, :, 1]) * over
    with torch.no_grad():
        seen = front & (u >= -_BORDER) & (u <= width - 1 + _BORDER)
        seen &= (v >= -_BORDER) & (v <= height - 1 + _BORDER)
    # Sampling at a place that is not a number ends the process, and what is not seen is left out.
    pixels = torch.stack((u, v), -1)
    return torch.where(seen[..., None], pixels, torch.zeros_like(pixels)), seen


def _whole_windows(valid: Tensor) -> Tensor:
    """Pixels whose 3x3 window holds valid pixels only: (..., H, W) bool to the same."""
    whole = valid.clone()
    whole[..., 1:] &= valid[..., :-1]
    whole[..., :-1] &= valid[..., 1:]
    rows = whole.clone()
    whole[..., 1:, :] &= rows[..., :-1, :]
    whole[..., :-1, :] &= rows[..., 1:, :]
    return whole


def objective(
    batch: Batch, predicted: Prediction, weights: Loss, count: Count
) -> tuple[Terms, Compared]:
    """The loss of a batch.

    Every part is a mean over images, and each image's a mean over its pixels, so that the gradients
    of several processes add up to those of one with their batches together: `count` makes the
    numbers of images that were compared common to all of them.

    Args:
        batch: what was read.
        predicted: what the networks say of it.
        weights: of the parts.
        count: see `Count`.
    """
    first = batch.frames[:, 0].float() / 255
    compared = compare_batch(batch, predicted, weights)
    fine = predicted.inverses[0]
    log_inverse = fine.log()
    known = torch.isfinite(batch.truth) & (batch.truth < FARTHEST_EXACT)
    log_error = (log_inverse + torch.where(known, batch.truth, 1.0).log()).abs()
    parts = [masked_mean(e, v) for e, v in zip(compared.error, compared.valid, strict=True)]
    left_out = batch.masked[:, :, 0].all(1, keepdim=True)
    feet, standing = contact_inverse(fine, batch.labels, left_out)
    parts += [masked_mean(log_error, known), masked_mean(contact_error(fine, feet), standing)]
    parts += [masked_mean(fine, batch.labels == SKY)]
    counts = count(torch.stack([(c > 0).sum() for _, c in parts]).float()).clamp(min=1e-9)
    means = torch.stack([values.sum() for values, _ in parts]) / counts
    zero = torch.zeros_like(means[0])
    photometric, smooth = zero, zero
    for weight, mean, inverse in zip(SCALE_WEIGHTS, means, predicted.inverses, strict=False):
        photometric = photometric + weight * mean
        edges = interpolate(first, size=inverse.shape[2:], mode="area")
        smooth = smooth + weight * gradient_error(inverse, edges)
    smooth = weights.smoothness * smooth
    exact, contact = weights.exact * means[-3], weights.contact * means[-2]
    sky = weights.sky * means[-1]
    scale = zero
    if weights.scale:
        scale = weights.scale * scale_ratio(fine, batch).log().square().mean()
    total = photometric + smooth + exact + contact + sky + scale
    return Terms(total, photometric, smooth, exact, contact, sky, scale), compared


def compare_batch(batch: Batch, predicted: Prediction, weights: Loss) -> Compared:
    """`compare` on what was read and what was predicted; with the scale held, if it is to be."""
    images = batch.frames.float() / 255
    motions, inverses = batch.motions, predicted.inverses
    if weights.scale:
        held = 1 / scale_ratio(inverses[0], batch).view(-1, 1, 1, 1)
        inverses = [inverse * held for inverse in inverses]
    if predicted.motions is not None:
        turned = batch.mirror[:, None] @ predicted.motions @ batch.mirror[:, None]
        motions = torch.where(torch.isfinite(motions), motions, turned)
    return compare(
        images[:, 0].contiguous(),
        images[:, 1:].transpose(0, 1).contiguous(),
        inverses,
        batch.intrinsics,
        motions.transpose(0, 1),
        batch.masked.transpose(0, 1),
        weights.alpha,
    )


def scale_ratio(inverse: Tensor, batch: Batch) -> Tensor:
    """(B,) mean inverse depth of the road over the start's where motion is the network's; else 1.

    Depth and motion scaled by the same factor explain the images as well: nothing in the
    photometric error keeps the scale, and a pose network whose steps are too short pulls the depth
    after it. So images are compared at the start's scale, whatever the depth's own is, which leaves
    it to the pose network to follow, and the depth's own is drawn to the start's by a term of the
    loss. Only the road is asked, where there is one: it is where the start is surest, and what
    training changes elsewhere must not be made up for there.
    """
    unknown = ~torch.isfinite(batch.motions).all((1, 2, 3))
    road = batch.labels == ROAD
    held = road | (road.float().mean((1, 2, 3), keepdim=True) <= LEAST_ROAD)
    ratio = masked_mean(inverse, held)[0] / masked_mean(batch.anchor, held)[0]
    return torch.where(unknown, ratio, torch.ones_like(ratio))
