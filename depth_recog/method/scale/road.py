# SPDX-License-Identifier: Apache-2.0
"""The height of the camera above the road, in lengths of its own motion.

Two images of a plane differ by a homography, R + t m^T with m = n / h. Rotation and direction of t
are known from the static points, up to their covariance; m is what makes the second image fit the
first one on the road (direct alignment: even asphalt without corners has some contrast). No depth
network takes part, so that one whose road is bent is found out.

Source: Irani, Anandan and Cohen, "Direct recovery of planar-parallax", 2002, for the plane as a
parallax; Baker and Matthews, "Lucas-Kanade 20 years on", 2004, for the alignment.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.scale.alignment import (
    LANE,
    LEAST_PIXELS,
    Alignment,
    Filtered,
    Float,
    Mask,
    Pixels,
    Prior,
    RoadPlane,
    level_of,
)
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import Refusal

Grey = NDArray[np.uint8]

NEAREST, FARTHEST = 1.2, 12.0
"""Range of the pixels used, in heights of the camera. Nearer is the robot itself; farther, a wrong
tilt of the plane weighs more than the motion that is seen."""
LEAST_LANE = 400
"""Least number of pixels there; else the whole ground is used."""
SLOPE_STD = math.radians(0.6)
"""Standard deviation of the angle between motion and road: bumps and slopes."""
ROLL_STD = math.radians(5.0)
LARGEST_CLIMB = 2.5
"""Largest angle between the motion and the road that the mount tells, in its deviations."""
_MARGIN = 24
"""Pixels around the ground that are used of the second image: a robot may go backwards."""
_BLUR, _COARSE = 0.7, 1.5
_LOCAL = (7, 7)
"""Size of the mean that is subtracted, pixels. With 7 rows the road looks 2 % lower, with 21 rows
5 %; with one row it does not, but then kerbs are not found."""
_ERODED = np.ones((5, 5), np.uint8)
_POSE_STD = 2.0
"""The static pose is less certain than it tells: the depth that it rests on is wrong alike at
neighbouring points."""
_TURN_STD, _DIRECTION_STD = math.radians(0.03), math.radians(0.5)
_MOST_PIXELS = 1000


def align_road(
    images: tuple[Grey, Grey],
    ground: Mask,
    camera: Camera,
    motion: PoseEstimate,
    mount: CameraMount,
    start: float,
) -> RoadPlane | Refusal:
    """Find the road plane from two images, or tell why they do not show it.

    Args:
        images: (H, W) uint8 each, the first and the second frame in grey.
        ground: (H, W) bool, pixels of the first frame's surface that the robot stands on.
        camera: intrinsics of both.
        motion: the static pose; the length of its translation is not used.
        mount: the direction to the ground, and its deviation; the height is not used.
        start: height of the camera in lengths of the motion, right within a factor of 2.7.
    """
    T = motion.T_second_from_first
    length = float(np.linalg.norm(T[:3, 3]))
    if not (motion.ok and length > 0 and start > 0 and math.isfinite(start)):
        return Refusal("the motion of the camera is not known")
    down = np.asarray(mount.down) / np.linalg.norm(mount.down)
    level, climb = level_of(down, T[:3, :3], T[:3, 3] / length)
    if abs(climb) > LARGEST_CLIMB * mount.tilt_std:
        return Refusal(f"the camera moves at {abs(climb):.0f} degrees to the ground")
    ahead = -(T[:3, :3].T @ T[:3, 3]) / length
    pixels = _pixels(ground, camera, level, np.cross(level, ahead))
    if len(pixels.rows) < LEAST_PIXELS:
        return Refusal("too little ground is visible near the camera")
    # Only the part of both images around these pixels is filtered.
    left, right = int(pixels.columns.min()), int(pixels.columns.max())
    margin = _MARGIN + (right - left) // 6
    x, top = max(0, left - margin), max(0, int(pixels.rows[0]) - _MARGIN)
    window = camera.cropped(x, top, min(camera.width, right + margin) - x, camera.height - top)
    part = slice(top, None), slice(x, x + window.width)
    first, second = (_filtered(grey[part]) for grey in images)
    moved = Pixels(pixels.rows - top, pixels.columns - x, pixels.rays)
    alignment = Alignment(first, second, moved, window, T, _prior(motion, length, mount, climb))
    begun = alignment.search(level, -math.log(start))
    found = begun if isinstance(begun, Refusal) else alignment.solved(down, begun)
    if isinstance(found, Refusal):
        return found
    return replace(found, rows=found.rows + top, columns=found.columns + x)


def _filtered(grey: Grey) -> Filtered:
    fine = np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR), np.float32)
    fine -= np.asarray(cv2.blur(fine, _LOCAL), np.float32)
    by_u, by_v = (cv2.Sobel(fine, -1, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (1, 0))
    coarse = np.asarray(cv2.GaussianBlur(fine, (0, 0), _COARSE), np.float32)
    return Filtered(np.asarray(cv2.merge((fine, by_u, by_v)), np.float32), coarse)


def _pixels(ground: Mask, camera: Camera, level: Float, side: Float) -> Pixels:
    """Some of those on near ground, where the robot drives if there are enough."""
    inner = cv2.erode(ground.view(np.uint8), _ERODED, borderValue=0)
    rows, columns = np.nonzero(inner)
    nearness = np.stack((*camera.rays(columns, rows), np.ones(len(rows)))).T @ level
    near = np.flatnonzero((nearness > 1 / FARTHEST) & (nearness < 1 / NEAREST))
    rays = np.stack((*camera.rays(columns[near], rows[near]), np.ones(len(near))), 1)
    beside = np.abs(rays @ side) > LANE * nearness[near]
    if len(near) - beside.sum() > LEAST_LANE:
        near = near[~beside]
    near = near[:: max(1, -(-len(near) // _MOST_PIXELS))]
    rows, columns = rows[near], columns[near]
    rays = np.stack((*camera.rays(columns, rows), np.ones(len(rows))), 1)
    return Pixels(rows, columns, rays)


def _prior(motion: PoseEstimate, length: float, mount: CameraMount, climb: float) -> Prior:
    """What is known beforehand of tilt and motion."""
    t = motion.T_second_from_first[:3, 3] / length
    helper = (0.0, 1.0, 0.0) if abs(t[1]) < 0.9 else (1.0, 0.0, 0.0)
    one = np.cross(t, helper)
    one /= np.linalg.norm(one)
    axes = np.stack((one, np.cross(t, one)))
    variance = np.diag([_TURN_STD**2] * 3 + [_DIRECTION_STD**2] * 2)
    if motion.covariance is not None:
        lever = np.zeros((5, 6))
        lever[:3, :3], lever[3:, 3:] = np.eye(3), axes / length
        variance += _POSE_STD**2 * lever @ motion.covariance @ lever.T
    tilt = math.radians(mount.tilt_std)
    precision = np.zeros((8, 8))
    precision[1, 1] = ROLL_STD**-2 + tilt**-2
    precision[2, 2] = SLOPE_STD**-2 + tilt**-2
    precision[3:, 3:] = np.linalg.inv(variance)
    expected = np.zeros(8)
    # The normal of the ground that the mount tells leans back by the climb.
    expected[2] = math.radians(climb) * tilt**-2 / precision[2, 2]
    return Prior(precision, expected, axes)
