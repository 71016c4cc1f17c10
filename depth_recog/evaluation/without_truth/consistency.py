# SPDX-License-Identifier: Apache-2.0
"""What the motion between two frames says about their depth: flicker, and the warped picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.flicker import warped_difference
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.geometry.warp import projections, sampled

Depth = NDArray[np.float32]
Image = NDArray[Any]
Matrix = NDArray[np.float64]

_STRUCTURE = 0.85
"""Share of the structural part in the photometric error."""
_C1, _C2 = 0.01**2, 0.03**2
"""Constants of the structural similarity, for images in 0..1."""

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
    u, v, valid = projections(depth, views[0].camera, T_second_from_first)
    first, second = (view.image for view in views)
    moving = (~views[1].static)[..., None].view(np.uint8)
    # A sample that touches a masked pixel of the second image does not count.
    valid &= views[0].static.ravel() & (sampled(moving, u, v)[:, 0] == 0)
    # Nor does a pixel whose window holds one that does not count.
    whole = cv2.erode(valid.reshape(depth.shape).astype(np.uint8), np.ones((3, 3)))
    use = whole.astype(bool)
    pixels = int(use.sum())
    if pixels < _LEAST_SHARE * depth.size:
        return None
    projected = sampled(second, u, v).reshape(first.shape)
    error, unmoved = (
        float(photometric_error(first, other)[use].mean()) for other in (projected, second)
    )
    return Warp(error, unmoved, pixels)


def photometric_error(first: Image, second: Image) -> NDArray[np.float32]:
    """Compute the photometric error of block 108, as `loss/photometric.py` does with torch.

    Args:
        first: (H, W, 3), 0..255.
        second: the same.

    Returns:
        (H, W) float32, mean over the channels, 0..1.
    """
    x, y = (image.astype(np.float32) / np.float32(255) for image in (first, second))
    mean_x, mean_y, xx, yy, xy = (_window_means(a) for a in (x, y, x * x, y * y, x * y))
    products, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    similarity = (2 * products + _C1) * (2 * (xy - products) + _C2)
    similarity /= (squares + _C1) * (xx + yy - squares + _C2)
    structure = np.clip((1 - similarity) / 2, 0, 1)
    error = _STRUCTURE * structure + (1 - _STRUCTURE) * np.abs(x - y)
    return np.asarray(error.mean(2), np.float32)


def _window_means(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 3x3 windows, reflected at the border."""
    return np.asarray(cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT_101), np.float32)
