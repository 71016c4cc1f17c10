# SPDX-License-Identifier: Apache-2.0
"""Blocks 106 to 108 on a batch: the photometric error over two neighbours and two scales, and more.

The values are those of `method.loss`, pair by pair and scale by scale (the tests compare them),
computed together: K R K^-1 H and K t do not depend on the scale, a projected pixel is linear in its
inverse depth before the division, each neighbour is sampled once for all scales, and the error of
the unmoved neighbours is the same at every scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from depth_recog.method.geometry.projection import NEAREST, pixel_grid, sample, touches
from depth_recog.method.loss.edges import edge_error
from depth_recog.method.loss.fused import Reference, photometric_errors
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.loss.smoothness import gradient_error
from depth_recog.method.masking import SKY
from depth_recog.training.config import LossWeights
from depth_recog.training.data.batches import TripletBatch
from depth_recog.training.depth.contact import ROAD, contact_error, contact_inverse
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.pseudo_labels import start_error, teacher_error
from depth_recog.training.loop.trainer import Mean

SCALE_WEIGHTS = (1.0, 0.5)
LEAST_ROAD = 0.03
"""Least share of road in an image for its scale to be measured there; else on all pixels."""

FARTHEST_EXACT = 80.0
"""Metres: exact depth beyond this is not trained on; validation ignores it as well."""
_BORDER = 1e-3


class Neighbours(NamedTuple):
    """N neighbours of a batch of frames.

    Attributes:
        images: (N, B, 3, H, W) float, 0..1.
        motions: (N, B, 4, 4) float, T_neighbour_from_frame.
        masked: (N, B, 2, H, W) bool, pixels excluded in the frame and in the neighbour.
    """

    images: Tensor
    motions: Tensor
    masked: Tensor


class Comparison(NamedTuple):
    """A batch compared with its neighbours.

    Attributes:
        error: (S, B, 1, H, W), least photometric error over the neighbours at S scales.
        seen: (S, B, 1, H, W) bool, where any neighbour can be compared.
        valid: (S, B, 1, H, W) bool, what enters the mean: seen, and better explained by the
            motion than by a camera at rest (auto-masking).
    """

    error: Tensor
    seen: Tensor
    valid: Tensor


class LossTerms(NamedTuple):
    """The loss and its weighted parts; scalars."""

    total: Tensor
    photometric: Tensor
    smoothness: Tensor
    exact: Tensor
    edges: Tensor
    points: Tensor
    contact: Tensor
    sky: Tensor
    start: Tensor
    teacher: Tensor
    scale: Tensor


def compare(
    frame: Tensor, neighbours: Neighbours, inverses: list[Tensor], intrinsics: Tensor, alpha: float
) -> Comparison:
    """Compare frames with N neighbours at S scales.

    Args:
        frame: (B, 3, H, W) float, 0..1.
        neighbours: images, motions and excluded pixels.
        inverses: S inverse depths, (B, 1, h, w), enlarged bilinearly.
        intrinsics: (B, 3, 3) float, pixels.
        alpha: weight of the structural part of the error.
    """
    seconds, motions, masked = neighbours
    count, batch = seconds.shape[:2]
    height, width = frame.shape[2:]
    scales = len(inverses)
    inverse = torch.cat([_enlarged(i, height, width) for i in inverses], 1)  # (B, S, H, W)
    pixels, seen = _project(inverse, intrinsics, motions)  # (N, B, S, H, W, 2), (N, B, S, H, W)
    # The scales are stacked along the rows: each neighbour is sampled once, without copies.
    tall = pixels.reshape(count * batch, scales * height, width, 2)
    flat = seconds.flatten(0, 1)
    images = sample(flat, tall).view(count, batch, 3, scales, height, width)
    with torch.no_grad():
        valid = seen & ~masked[:, :, :1]
        if masked.is_cuda or masked.any():  # on a GPU, any() would cost more than it saves
            hit = touches(masked[:, :, 1].flatten(0, 1)[:, None], tall.detach())
            valid &= ~hit.view(valid.shape)
        valid = _whole_windows(valid)
    reference = Reference.of(frame)
    across = Reference(*(part.unsqueeze(2) for part in reference))
    errors = photometric_errors(across, images, alpha)  # (N, B, S, H, W)
    with torch.no_grad():
        still = photometric_errors(reference, seconds, alpha).amin(0)  # (B, H, W)
    error = torch.where(valid, errors, torch.inf).amin(0)  # (B, S, H, W)
    found = torch.isfinite(error)
    error = torch.where(found, error, torch.zeros_like(error))
    moved = found & (still[:, None] > error)
    error, found, moved = (t.transpose(0, 1)[:, :, None] for t in (error, found, moved))
    return Comparison(error, found, moved)


def _enlarged(inverse: Tensor, height: int, width: int) -> Tensor:
    if inverse.shape[2:] == (height, width):
        return inverse
    return interpolate(inverse, size=(height, width), mode="bilinear", align_corners=False)


def _project(inverse: Tensor, intrinsics: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    """Project pixels into N neighbours: (N, B, S, H, W, 2), and (N, B, S, H, W) bool where seen.

    With q = K R K^-1 H and b = K t, a pixel of inverse depth i is projected to q + i b: block 106
    with both sides divided by Z.
    """
    height, width = inverse.shape[2:]
    rays = torch.linalg.inv(intrinsics) @ pixel_grid(height, width, inverse)
    q = (intrinsics @ motions[..., :3, :3]) @ rays
    q = q.view(*motions.shape[:2], 3, 1, height, width)
    b = (intrinsics @ motions[..., :3, 3:]).view(*motions.shape[:2], 3, 1, 1, 1)
    z = torch.addcmul(q[:, :, 2], inverse, b[:, :, 2])
    # z is divided by the depth: the point must be in front of the camera by NEAREST metres.
    front = z > NEAREST * inverse.detach()
    over = 1 / torch.where(front, z, torch.ones_like(z))
    u = torch.addcmul(q[:, :, 0], inverse, b[:, :, 0]) * over
    v = torch.addcmul(q[:, :, 1], inverse, b[:, :, 1]) * over
    with torch.no_grad():
        seen = front & (u >= -_BORDER) & (u <= width - 1 + _BORDER)
        seen &= (v >= -_BORDER) & (v <= height - 1 + _BORDER)
    # Sampling at NaN ends the process; pixels that are not seen are excluded anyway.
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
    batch: TripletBatch, predicted: Prediction, weights: LossWeights, mean: Mean
) -> tuple[LossTerms, Comparison]:
    """Compute the loss of a batch.

    Each part is a mean over images of a mean over pixels, and `mean` makes the number of images
    that count common to all processes: so the gradients of several processes add up to those of
    one process with the whole batch.
    """
    frame = batch.frames[:, 0].float() / 255
    compared = compare_batch(batch, predicted, weights)
    fine = predicted.inverses[0]
    log_inverse = fine.log()
    known = torch.isfinite(batch.truth) & (batch.truth < FARTHEST_EXACT)
    log_error = log_inverse + torch.where(known, batch.truth, 1.0).log()
    parts = [masked_mean(e, v) for e, v in zip(compared.error, compared.valid, strict=True)]
    excluded = batch.masked[:, :, 0].all(1, keepdim=True)
    target, standing = contact_inverse(fine, batch.labels, excluded)
    nothing = fine.new_zeros(len(fine)), known.new_zeros(len(fine))
    parts += [masked_mean(log_error.abs(), known)]
    parts += [edge_error(log_error, known) if weights.edges else nothing]
    parts += [(point_error(log_inverse, batch), (batch.weights > 0).sum(1))]
    parts += [masked_mean(contact_error(fine, target), standing)]
    parts += [masked_mean(fine, batch.labels == SKY)]
    parts += [start_error(log_inverse, batch) if weights.start else nothing]
    taught = weights.teacher and batch.teacher.shape[1]
    parts += [teacher_error(log_inverse, batch, compared.valid[0]) if taught else nothing]
    counts = mean(torch.stack([(c > 0).sum() for _, c in parts]).float()).clamp(min=1e-9)
    means = torch.stack([values.sum() for values, _ in parts]) / counts
    zero = torch.zeros_like(means[0])
    photometric, smooth = zero, zero
    for weight, value, inverse in zip(SCALE_WEIGHTS, means, predicted.inverses, strict=False):
        photometric = photometric + weight * value
        edges = interpolate(frame, size=inverse.shape[2:], mode="area")
        smooth = smooth + weight * gradient_error(inverse, edges)
    smooth = weights.smoothness * smooth
    factors = weights.exact, weights.edges, weights.points, weights.contact
    shares = means.new_tensor([*factors, weights.sky, weights.start, weights.teacher])
    exact, edges, points, contact, sky, start, teacher = (shares * means[-len(shares) :]).unbind()
    scale = zero
    if weights.scale:
        scale = weights.scale * scale_ratio(fine, batch).log().square().mean()
    parts_of_total = photometric, smooth, exact, edges, points, contact, sky, start, teacher, scale
    total = torch.stack(parts_of_total).sum()
    return LossTerms(total, *parts_of_total), compared


def point_error(log_inverse: Tensor, batch: TripletBatch) -> Tensor:
    """(B,) weighted mean |log depth error| of the triangulated points; 0 without points."""
    return (point_errors(log_inverse, batch, batch.weights).abs() * batch.weights).sum(1)


def places(batch: TripletBatch, image: Tensor) -> Tensor:
    """(B, 1, N, 2) places of the points in images of a size, as `grid_sample` takes them."""
    height, width = image.shape[2:]
    size = batch.points.new_tensor([width - 1, height - 1])
    return batch.points[:, None, :, :2] * 2 / size - 1


def point_errors(log_inverse: Tensor, batch: TripletBatch, weights: Tensor) -> Tensor:
    """(B, N) log depth error of the triangulated points.

    Where motion is not recorded the points have no scale: their median error is taken away.

    Args:
        log_inverse: (B, 1, H, W) log of the inverse depth.
        batch: with the points.
        weights: (B, N) of the points, 0 for those that do not count.
    """
    grid = places(batch, log_inverse)
    found = grid_sample(log_inverse, grid, padding_mode="border", align_corners=True)[:, 0, 0]
    used = batch.weights > 0
    error = found + torch.where(used, batch.points[..., 2], 1.0).log()  # (B, N)
    with torch.no_grad():
        order = error.argsort(1)
        reached = weights.gather(1, order).cumsum(1)
        middle = (reached < reached[:, -1:] / 2).sum(1, keepdim=True).clamp(max=error.shape[1] - 1)
        median = error.gather(1, order.gather(1, middle))
        recorded = torch.isfinite(batch.motions).all(3).all(2).all(1)[:, None]
        median = torch.where(recorded, torch.zeros_like(median), median)
    return error - median


def compare_batch(batch: TripletBatch, predicted: Prediction, weights: LossWeights) -> Comparison:
    """`compare` for a batch and its prediction, at the initial scale if `weights.scale` is set."""
    images = batch.frames.float() / 255
    motions, inverses = batch.motions, predicted.inverses
    if weights.scale:
        factor = 1 / scale_ratio(inverses[0], batch).view(-1, 1, 1, 1)
        inverses = [inverse * factor for inverse in inverses]
    if predicted.motions is not None:
        turned = batch.mirror[:, None] @ predicted.motions @ batch.mirror[:, None]
        motions = torch.where(torch.isfinite(motions), motions, turned)
    unknown = ~torch.isfinite(motions).all(3).all(2)  # (B, 2): these pairs are not compared
    still = torch.eye(4, dtype=motions.dtype, device=motions.device)
    motions = torch.where(unknown[..., None, None], still, motions)
    masked = batch.masked | unknown[..., None, None, None]
    neighbours = Neighbours(
        images[:, 1:].transpose(0, 1).contiguous(),
        motions.transpose(0, 1),
        masked.transpose(0, 1),
    )
    frame = images[:, 0].contiguous()
    return compare(frame, neighbours, inverses, batch.intrinsics, weights.alpha)


def scale_ratio(inverse: Tensor, batch: TripletBatch) -> Tensor:
    """(B,) mean inverse depth of the road over that of the initial weights; 1 with recorded motion.

    Without recorded motion the photometric error does not determine the scale: depth and motion
    times the same factor explain the images equally well, and a pose network with too short a
    translation would shrink the depth. So images are compared at the initial scale, whatever the
    present one is, and a term of the loss keeps the present scale near the initial one. The ratio
    is measured on the road where there is enough of it: there the initial depth is most reliable,
    and corrections elsewhere must not change the scale.
    """
    unknown = ~torch.isfinite(batch.motions).all((1, 2, 3))
    road = batch.labels == ROAD
    measured = road | (road.float().mean((1, 2, 3), keepdim=True) <= LEAST_ROAD)
    ratio = masked_mean(inverse, measured)[0] / masked_mean(batch.anchor, measured)[0]
    return torch.where(unknown, ratio, torch.ones_like(ratio))
