# SPDX-License-Identifier: Apache-2.0
"""The road below the camera, as a depth map shows it: its height, and how flat it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.ground import FAR, NEAR, fit_plane
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import NORMAL

LEAST_ROAD = 1 / 50
"""Least share of the image that must be road."""

_MEDIAN_DEPTH = 8.0
"""Depth to which the road's median is scaled for `fit_plane`, whose range is in metres."""


class Road(NamedTuple):
    """The plane of one frame's road.

    Attributes:
        height: distance of the camera from the plane, in the depth's unit.
        unevenness: standard deviation (robust) of the log ratio of the depth and the plane's.
        pixels: number of road pixels.
    """

    height: float
    unevenness: float
    pixels: int


def shows_road(road: NDArray[np.bool_]) -> bool:
    """Return whether a (H, W) mask has road enough; this does not depend on the depth."""
    return bool(road.mean() >= LEAST_ROAD)


def road_of(depth: NDArray[np.float32], road: NDArray[np.bool_], camera: Camera) -> Road | None:
    """Fit a plane to the road.

    Args:
        depth: (h, w) float32.
        road: (h, w) bool.
        camera: intrinsics of both.

    Returns:
        None if there is too little road, or its depth is no plane below the camera.
    """
    known = road & np.isfinite(depth) & (depth > 0)
    if not shows_road(road) or not shows_road(known):
        return None
    unit = np.float32(_MEDIAN_DEPTH / np.median(depth[known]))
    scaled = depth * unit
    plane = fit_plane(scaled, known, camera)
    if plane is None:
        return None
    rows, columns = np.nonzero(known & (scaled > NEAR) & (scaled < FAR))
    x, y = camera.rays(columns, rows)
    # y z = slope x z + incline z + height along a pixel's ray.
    rise = y - plane.slope * x - plane.incline
    below = rise > 0
    if not below.any():
        return None
    ratio = np.log(scaled[rows, columns][below] * rise[below] / plane.height)
    spread = NORMAL * float(np.median(np.abs(ratio - np.median(ratio))))
    return Road(plane.distance / float(unit), spread, int(known.sum()))
