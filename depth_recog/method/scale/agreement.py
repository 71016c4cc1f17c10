# SPDX-License-Identifier: Apache-2.0
"""The depth of a network beside that which the camera's motion shows, on the road and elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.epipolar import camera_coordinates, triangulated_depth
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.alignment import LANE, RoadPlane
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.tracking.tracks import Correspondences, at

Float = NDArray[np.float64]

LEAST_PARALLAX = 2.5
"""Least motion of a point besides that by rotation, pixels: less does not show its depth."""
LEAST_POINTS = 15
LEAST_ROAD_POINTS = 5
ROAD_SHARE = (0.5, 0.8)
"""Least and largest weight of the road. Elsewhere the points are corners, many beside edges,
where the depth of a network is worst."""
LARGEST_EDGE = 1.15
"""Largest ratio of depths around a point: beside an edge the network's depth is that of neither
side."""
LARGEST_CONTRADICTION = 0.25
"""Largest difference, in log, between the height by the road's pixels and by its points."""

_AROUND = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class SeenMotion:
    """What two frames show of the network's unit.

    Attributes:
        log_length: length of the camera's motion in the network's unit, in log: median over the
            image.
        gap: `log_length` on the road, less that elsewhere; NaN where one of them is not seen.
        road: the road plane, or why it is not seen.
    """

    log_length: float
    gap: float
    road: RoadPlane | Refusal


class Points(NamedTuple):
    """Static points of two frames.

    Attributes:
        found: their pixels.
        on_ground: (N,) bool, whether they lie on the surface that the robot stands on.
    """

    found: Correspondences
    on_ground: NDArray[np.bool_]


def see_motion(
    depth: NDArray[np.float32],
    camera: Camera,
    points: Points,
    T_second_from_first: Float,
    road: RoadPlane | Refusal,
    road_share: float,
) -> SeenMotion | Refusal:
    """Compare the depth of the first frame with what the motion shows.

    Args:
        depth: (H, W) float32, in the network's unit.
        camera: intrinsics.
        points: that do not move.
        T_second_from_first: (4, 4), of which the length of the translation is not used; the road's
            is used instead where it is seen.
        road: of the same two frames.
        road_share: share of the image that the road takes.
    """
    T = T_second_from_first if isinstance(road, Refusal) else road.T_second_from_first
    T = T.copy()
    T[:3, 3] /= max(float(np.linalg.norm(T[:3, 3])), 1e-12)
    one, two = (camera_coordinates(p, camera) for p in (points.found.first, points.found.second))
    turned = one @ T[:3, :3].T
    shift = (turned[:, :2] / np.maximum(turned[:, 2:], 1e-3) - two[:, :2]) * (camera.fx, camera.fy)
    z = triangulated_depth(one, two, T)
    with np.errstate(invalid="ignore"):
        near = (np.hypot(*shift.T) > LEAST_PARALLAX) & (z > 0)
    ground = np.zeros(0)
    if isinstance(road, RoadPlane):
        ahead = T[:3, :3].T @ T[:3, 3]
        beside = np.abs(one @ np.cross(road.normal, ahead)) > LANE * (one @ road.normal)
        below = near & points.on_ground & ~beside
        if contradicted(z[below] * (one[below] @ road.normal), road):
            road = Refusal("points on the road contradict its height")
        else:
            ground = _by_road(depth, camera, road)
    smooth = cv2.dilate(depth, _AROUND) / LARGEST_EDGE < cv2.erode(depth, _AROUND)
    d = at(depth, points.found.first).astype(np.float64)
    off = near & ~points.on_ground & at(smooth, points.found.first) & np.isfinite(d) & (d > 0)
    parts = [part for part in (ground, np.log(d[off] / z[off])) if len(part) >= LEAST_POINTS]
    if not parts:
        return Refusal(road.why if isinstance(road, Refusal) else "the camera moves too little")
    gap = median(parts[0]) - median(parts[1]) if len(parts) == 2 else math.nan
    return SeenMotion(_together(parts, road_share), gap, road)


def contradicted(heights: Float, road: RoadPlane) -> bool:
    """Whether the heights by points on the road (N,) differ from the plane's."""
    heights = heights[heights > 0]
    if len(heights) < LEAST_ROAD_POINTS:
        return False
    return abs(math.log(median(heights) / road.height)) > LARGEST_CONTRADICTION


def _together(parts: list[Float], road_share: float) -> float:
    """Median over the image: the road counts by its share of it, whatever the number of points."""
    share = min(max(road_share, ROAD_SHARE[0]), ROAD_SHARE[1])
    shares = [share, 1 - share] if len(parts) == 2 else [1.0]
    logs = np.concatenate(parts)
    weights = np.concatenate(
        [np.full(len(part), own / len(part)) for part, own in zip(parts, shares, strict=True)]
    )
    order = np.argsort(logs)
    return float(logs[order[np.searchsorted(np.cumsum(weights[order]), 0.5)]])


def _by_road(depth: NDArray[np.float32], camera: Camera, road: RoadPlane) -> Float:
    x, y = camera.rays(road.columns, road.rows)
    z = road.height / (x * road.normal[0] + y * road.normal[1] + road.normal[2])
    d = depth[road.rows, road.columns].astype(np.float64)
    known = (z > 0) & (d > 0) & np.isfinite(d)
    return np.asarray(np.log(d[known] / z[known]))
