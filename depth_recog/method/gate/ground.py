# SPDX-License-Identifier: Apache-2.0
"""The ground plane, and the depth at which things stand on it.

Where a thing touches the ground says how far it is, by another way than its own pixels' depth: a
witness for or against what the network says of it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.median import NORMAL, median
from depth_recog.method.tracking.correspondences import nearest_pixels

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR, FAR = 3.0, 20.0
"""Of pixels through which the plane is laid, in metres: the bonnet is nearer, and what is further
has too little parallax."""

NETWORK_DEVIATION = 0.2
"""Of the depth network's log depth on a thing, common to the whole thing: the largest that
benchmarks/contact_depth.py finds in a third of a drive."""

CONTACT_DEVIATION = 0.1
"""Of the log depth of a contact, the smallest that it finds: the road is no plane, and bumpers hang
over the wheels."""

CONTACT_PIXELS = 1.5
"""Of the row of a contact: the mask's edge, shadows."""

TUKEY = 4.685 * NORMAL
"""Of the median absolute error: where Tukey's weights end."""

_LEAST_PIXELS = 200
_MOST_PIXELS = 1500
_LEAST_RANGE = 1.3
_ERODED = np.ones((5, 5), np.uint8)
_ROUNDS = 8
_STEEPEST = 0.8
_SAME_THING = 0.2


class Plane(NamedTuple):
    """y = slope x + incline z + height in the camera's frame (y down), in the depth's unit."""

    slope: float
    incline: float
    height: float

    @property
    def distance(self) -> float:
        """Of the camera from the plane."""
        return self.height / float(np.sqrt(self.slope**2 + self.incline**2 + 1))


def fit_plane(depth: NDArray[np.float32], road: Mask, camera: Camera) -> Plane | None:
    """A robust plane through the road.

    Tukey's weights over the squared depth, since a depth's error grows with it; pixels near the
    road's border are left out.

    Args:
        depth: (H, W) float32.
        road: (H, W) bool.
        camera: of both.

    Returns:
        None where too little road is seen, near and far, or the plane is not below the camera.
    """
    inner = cv2.erode(road.astype(np.uint8), _ERODED) > 0
    # A quarter of the pixels says as much: neighbours' errors are one.
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
    # y = a x + b z + c: heights over a plane that is below, never beside, the camera.
    terms = np.stack((x, z, np.ones_like(z)), 1)
    precision = 1 / z**2
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
    """Depth of features on things, and how well it is known.

    Below a feature the thing ends somewhere. Where the ground begins there, and the depth from the
    feature down to that place is one thing's, the plane says how far the place is, and that is
    believed: a network can be fooled by a motion, a contact cannot. They are not averaged: both see
    the same road, and err together.

    Args:
        pixels: (N, 2) features (u, v) on things.
        depth: (H, W) float32, what the network says.
        dynamic: (H, W) bool, pixels of things.
        ground: (H, W) bool, pixels of the ground.
        plane: of the road, or None: then nothing is witnessed.
        camera: of all.

    Returns:
        (N,) float32 depth, and (N,) standard deviation of its logarithm.
    """
    u, v = nearest_pixels(pixels, dynamic.shape)
    own = depth[v, u]
    if plane is None or not len(pixels):
        return own, np.full(len(pixels), NETWORK_DEVIATION)
    height = len(dynamic)
    below = first_free_row(dynamic, u, v)
    seen = below < height
    row = np.minimum(below, height - 1)
    foot = depth[np.maximum(row - 1, 0), u]
    rise = (row - 0.5 - camera.cy) / camera.fy
    rise -= plane.slope * (u - camera.cx) / camera.fx + plane.incline
    with np.errstate(divide="ignore", invalid="ignore"):
        contact = plane.height / rise
        one_thing = np.abs(np.log(foot / own)) < _SAME_THING
        doubt = np.hypot(CONTACT_DEVIATION, CONTACT_PIXELS / camera.fy / rise)
    usable = seen & ground[row, u] & one_thing & (rise > 0) & (own > 0) & np.isfinite(own)
    answer = np.where(usable, contact, own)
    return answer.astype(np.float32), np.where(usable, doubt, NETWORK_DEVIATION)


def first_free_row(
    mask: Mask, columns: NDArray[np.intp], rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """(N,) first row at or below (N,) pixels where a (H, W) mask is False; H where it never is."""
    height = len(mask)
    # A row more, where every mask ends.
    free = np.ones((len(columns), height + 1), np.bool_)
    free[:, :height] = ~mask.T[columns]
    free &= np.arange(height + 1) >= rows[:, None]
    return np.asarray(free.argmax(1), np.intp)
