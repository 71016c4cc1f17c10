# SPDX-License-Identifier: Apache-2.0
"""What the motion between two frames says about their depth: flicker, and the warped picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from depth_recog.evaluation.flicker import warped_difference
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.geometry.projection import intrinsics_tensor, projection_image, touches
from depth_recog.method.loss.fused import Reference, photometric_errors
from depth_recog.method.loss.photometric import whole_windows
from depth_recog.networks.own.tensors import image_tensor

Depth = NDArray[np.float32]
Matrix = NDArray[np.float64]

_LARGEST = float(np.log(2.0))
"""Larger differences are clipped to this: they come from occlusion, not from flicker."""
_LEAST_SHARE = 0.05
_MEDIAN_DEPTH = 10.0


class Flicker(NamedTuple):
    """Temporal inconsistency of two depth maps.

    Attributes:
        mean: of |log ratio| of the first depth, warped by the static pose, and the second.
        pixels: number of static pixels that both frames show.
    """

    mean: float
    pixels: int


class Warp(NamedTuple):
    """Photometric error of the first image and the second one, projected by the first's depth.

    Attributes:
        error: mean over static pixels that the second image shows.
        unmoved: mean error without projection, on the same pixels.
        pixels: their number.
    """

    error: float
    unmoved: float
    pixels: int


def flicker(
    views: tuple[View, View], depths: tuple[Depth, Depth], T_second_from_first: Matrix
) -> Flicker | None:
    """Warp the first depth to the second frame and compare.

    Args:
        views: both frames at the size of the depth.
        depths: (h, w) float32 each.
        T_second_from_first: (4, 4) float64, translation in the depth's unit.

    Returns:
        None if the frames share too little.
    """
    first, second = (
        np.where(view.static, depth, np.float32(np.nan))
        for view, depth in zip(views, depths, strict=True)
    )
    known = np.isfinite(first) & (first > 0)
    if known.mean() < _LEAST_SHARE:
        return None
    # `warped_difference` compares from half a metre on; the depth may have another unit.
    unit = np.float32(_MEDIAN_DEPTH / np.median(first[known]))
    T = T_second_from_first.copy()
    T[:3, 3] *= unit
    differences = warped_difference(first * unit, second * unit, T, views[0].camera, np.inf)
    if differences.size < _LEAST_SHARE * first.size:
        return None
    clipped = np.minimum(np.abs(differences), _LARGEST)
    return Flicker(float(clipped.mean()), int(differences.size))


def warp(views: tuple[View, View], depth: Depth, T_second_from_first: Matrix) -> Warp | None:
    """Project the second image into the first by the first's depth and compare (block 108).

    Args:
        views: both frames at the size of the depth.
        depth: (h, w) float32, of the first.
        T_second_from_first: (4, 4) float64, translation in the depth's unit.

    Returns:
        None if too few pixels can be compared.
    """
    # Contiguous: the means over windows are several times faster in this order of memory.
    first, second = (image_tensor(view.image).contiguous() for view in views)
    masked_first, masked_second = (torch.from_numpy(~v.static)[None, None] for v in views)
    with torch.no_grad():
        image, projection = projection_image(
            second,
            torch.from_numpy(np.ascontiguousarray(depth))[None, None],
            intrinsics_tensor([views[0].camera], first),
            torch.from_numpy(T_second_from_first)[None].to(first),
        )
        valid = projection.valid & ~masked_first & ~touches(masked_second, projection.pixels)
        valid = whole_windows(valid)[0, 0]
        pixels = int(valid.sum())
        if pixels < _LEAST_SHARE * depth.size:
            return None
        errors = photometric_errors(Reference.of(first), torch.stack((image, second)))[:, 0]
        error, unmoved = (float(e[valid].mean()) for e in errors)
    return Warp(error, unmoved, pixels)
