# SPDX-License-Identifier: Apache-2.0
"""The ground plane, and the depth of objects from their contact with it.

The row in which an object touches the ground gives its depth independently of what the network
predicts on the object. The network can be fooled by the object's motion; the contact cannot.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import NORMAL, median
from depth_recog.method.tracking.tracks import nearest_pixels

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR, FAR = 3.0, 20.0
"""Depth range of the pixels that the plane is fitted to, metres: nearer is the bonnet, farther the
depth is too uncertain."""

NETWORK_STD = 0.2
"""Standard deviation of the network's log depth on an object, common to the whole object: the
largest that benchmarks/contact_depth.py measures in a third of a drive."""

CONTACT_STD = 0.1
"""Standard deviation of the log depth of a contact: the smallest that it measures. The road is not
a plane, and bumpers reach beyond the wheels."""

CONTACT_PIXELS = 1.5
"""Standard deviation of the row of a contact: mask edges, shadows."""

TUKEY = 4.685 * NORMAL
"""Error at which Tukey's weights reach 0, in median absolute errors."""

_LEAST_PIXELS = 200
_MOST_PIXELS = 1500
_LEAST_RANGE = 1.3
_ERODED = np.ones((5, 5), np.uint8)
_ROUNDS = 8
_STEEPEST = 0.8
_SAME_OBJECT = 0.2


class Plane(NamedTuple):
    """y = slope x + incline z + height in the camera's frame (y down), in the depth's unit."""

    slope: float
    incline: float
    height: float

    @property
    def distance(self) -> float:
        """Distance of the camera from the plane, in the depth's unit."""
        return self.height / float(np.sqrt(self.slope**2 + self.incline**2 + 1))


def fit_plane(depth: NDArray[np.float32], road: Mask, camera: Camera) -> Plane | None:
    """Fit a plane to the road by reweighted least squares (Tukey's weights / depth^2).

    Pixels near the road's border are left out.

    Args:
        depth: (H, W) float32.
        road: (H, W) bool.
        camera: intrinsics of both.

    Returns:
        None if too little road is visible near and far, or the plane is not below the camera.
    """
    inner = cv2.erode(road.astype(np.uint8), _ERODED) > 0
    # One pixel in four suffices: errors of neighbours are correlated.
    seen = depth[::2, ::2]
    usable = np.flatnonzero(inner[::2, ::2] & (seen > NEAR) & (seen < FAR))
    if 4 * len(usable) < _LEAST_PIXELS:
        return None
    step = -(-len(usable) // _MOST_PIXELS)
    rows, columns = (2 * i for i in np.divmod(usable[::step], seen.shape[1]))
    z = depth[rows, columns].astype(np.float64)
    ordered = np.sort(z)
    if ordered[9 * len(z) // 10] < _LEAST_RANGE * ordered[len(z) // 10]:
        return None
    x, y = (ray * z for ray in camera.rays(columns, rows))
    terms = np.stack((x, z, np.ones_like(z)), 1)  # (N, 3)
    precision = 1 / z**2  # (N,)
    weights = precision
    plane: Float = np.zeros(3)
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        plane = cv2.solve(weighted.T @ terms, weighted.T @ y, flags=cv2.DECOMP_SVD)[1][:, 0]
        residual = np.abs(y - terms @ plane) / z
        limit = TUKEY * max(median(residual), 1e-6)
        weights = precision * np.clip(1 - (residual / limit) ** 2, 0, None) ** 2
    found = Plane(*(float(v) for v in plane))
    if found.height <= 0 or max(abs(found.slope), abs(found.incline)) > _STEEPEST:
        return None
    return found


def contact_depth(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    dynamic: Mask,
    ground: Mask,
    plane: Plane | None,
    camera: Camera,
) -> tuple[NDArray[np.float32], Float]:
    """Return the depth of features on objects, from the ground contact below them if possible.

    Below a feature the object's mask ends. If the ground begins there, and the network's depth is
    continuous from the feature down to that pixel, the plane's depth at that pixel replaces the
    network's. The two are not averaged: their errors are correlated, as both see the same road.

    Args:
        pixels: (N, 2) features (u, v) on objects.
        depth: (H, W) float32, the network's depth.
        dynamic: (H, W) bool, pixels of objects.
        ground: (H, W) bool, pixels of the ground.
        plane: the road; without one (None) the network's depth is returned.
        camera: intrinsics of all arrays.

    Returns:
        (N,) float32 depth, and (N,) standard deviation of its logarithm.
    """
    u, v = nearest_pixels(pixels, dynamic.shape)
    own = depth[v, u]
    if plane is None or not len(pixels):
        return own, np.full(len(pixels), NETWORK_STD)
    height = len(dynamic)
    below = first_free_row(dynamic, u, v)
    seen = below < height
    row = np.minimum(below, height - 1)
    foot = depth[np.maximum(row - 1, 0), u]
    # The ray of the mask's lower edge meets the plane at the depth height / rise.
    rise = (row - 0.5 - camera.cy) / camera.fy
    rise -= plane.slope * (u - camera.cx) / camera.fx + plane.incline
    with np.errstate(divide="ignore", invalid="ignore"):
        contact = plane.height / rise
        same_object = np.abs(np.log(foot / own)) < _SAME_OBJECT
        contact_std = np.hypot(CONTACT_STD, CONTACT_PIXELS / camera.fy / rise)
    usable = seen & ground[row, u] & same_object & (rise > 0) & (own > 0) & np.isfinite(own)
    answer = np.where(usable, contact, own)
    return answer.astype(np.float32), np.where(usable, contact_std, NETWORK_STD)


def first_free_row(
    mask: Mask, columns: NDArray[np.intp], rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return (N,) the first row at or below (N,) pixels that a (H, W) mask leaves free, or H."""
    height = len(mask)
    # Row H is free in every column.
    free = np.ones((len(columns), height + 1), np.bool_)
    free[:, :height] = ~mask.T[columns]
    free &= np.arange(height + 1) >= rows[:, None]
    return np.asarray(free.argmax(1), np.intp)
