# SPDX-License-Identifier: Apache-2.0
"""The scale from the height of the camera above the ground.

The ground in front of the camera is unprojected with the network's depth, and a plane is fitted.
The camera's true height over its height above that plane is the scale. A plane for each frame is
needed: a fixed horizon is wrong by a tenth when the vehicle brakes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal, ScaleMeasurement

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAREST, FARTHEST = 1.2, 12.0
"""Range of the pixels used, in heights of the camera above the fitted plane (at 1.65 m: 2 to 20 m).
Nearer is the robot itself, farther the depth network knows little."""

LEAST_PIXELS = 60
"""Least number of pixels of one in four."""
LEAST_INLIERS = 0.6
LEAST_RANGE = 1.5
"""Least ratio of the 90 % and 10 % quantiles of depth."""
LEAST_WIDTH = 0.8
"""Least width of the ground, in heights of the camera."""
LARGEST_BEND = 0.08
"""Largest difference, in log, between the height above the plane and that above each quarter of the
pixels, ordered by depth. On KITTI's roads it is 0.03, before a hill of 10 % 0.11."""
LARGEST_STEP = 0.07
"""Largest difference of the height above the plane, over its distance, between neighbours of eight
parts from left to right. On roads it is 0.02 to 0.06, at a kerb of 15 cm seen from 1.65 m 0.08."""
LARGEST_RESIDUAL = 0.06
"""Largest median of |residual| / depth."""
FRAME_STD = 0.03
"""Standard deviation of log scale of a frame besides the fit's own: bumps, and the network."""

_MOST_PIXELS = 1500
_ERODED = np.ones((5, 5), np.uint8)
_ROUNDS = 6
_TUKEY = 6.95
"""Error at which Tukey's weights reach 0, in median absolute errors."""


@dataclass(frozen=True)
class CameraMount:
    """How the camera is mounted.

    Attributes:
        height: above the ground, metres.
        down: (3,) direction to the ground in the optical frame (x right, y down, z forward).
        tilt_std: standard deviation of that direction, degrees; small where tf or an accelerometer
            gives it.
    """

    height: float
    down: tuple[float, float, float] = (0.0, 1.0, 0.0)
    tilt_std: float = 12.0


@dataclass(frozen=True)
class GroundPlane:
    """The ground that a frame shows, in the network's unit.

    Attributes:
        normal: (3,) unit vector from the camera to the ground, optical frame.
        distance: of the camera from the plane.
        spread: median of |residual| / depth.
    """

    normal: Float
    distance: float
    spread: float

    @property
    def pitch(self) -> float:
        """Angle of the optical axis below the ground's horizon, radians."""
        return math.asin(max(-1.0, min(1.0, float(self.normal[2]))))

    @property
    def roll(self) -> float:
        """Rotation of the camera about its optical axis, clockwise, radians."""
        return math.atan2(-float(self.normal[0]), float(self.normal[1]))


def find_ground(
    depth: NDArray[np.float32], ground: Mask, camera: Camera, mount: CameraMount
) -> GroundPlane | Refusal:
    """Fit the ground plane, or tell why the frame does not show one.

    Args:
        depth: (H, W) float32, of the network.
        ground: (H, W) bool, pixels of the surface that the robot stands on.
        camera: intrinsics of both.
        mount: its direction to the ground is used as a check; the height is not used.
    """
    inner = cv2.erode(ground.view(np.uint8), _ERODED, borderValue=1) > 0
    seen = depth[::2, ::2]
    usable = np.flatnonzero(inner[::2, ::2] & np.isfinite(seen) & (seen > 0))
    if len(usable) < LEAST_PIXELS:
        return Refusal("too little ground is visible")
    step = -(-len(usable) // _MOST_PIXELS)
    rows, columns = (2 * i for i in np.divmod(usable[::step], seen.shape[1]))
    z = depth[rows, columns].astype(np.float64)
    x, y = (ray * z for ray in camera.rays(columns, rows))
    points = np.stack((x, y, z), 1)
    down = np.asarray(mount.down) / np.linalg.norm(mount.down)
    found = _fit(points, down)
    if found is not None:
        near = (z > NEAREST * found[1]) & (z < FARTHEST * found[1])
        points, z = points[near], z[near]
        if len(z) < LEAST_PIXELS:
            return Refusal("too little ground is visible near the camera")
        found = _fit(points, down)
    if found is None:
        return Refusal("no plane fits the ground")
    normal, distance = found
    tilt = math.degrees(math.acos(min(1.0, float(normal @ down))))
    if tilt > 2.5 * mount.tilt_std:
        return Refusal(f"the plane is tilted by {tilt:.0f} degrees against the ground")
    return _checked(points, z, normal, distance, down)


def _checked(
    points: Float, z: Float, normal: Float, distance: float, down: Float
) -> GroundPlane | Refusal:
    residual = np.abs(points @ normal - distance) / z
    spread = median(residual)
    if spread > LARGEST_RESIDUAL:
        return Refusal("the ground is not flat")
    inliers = residual < 0.05 * np.maximum(1.0, distance / z * 2)
    if inliers.mean() < LEAST_INLIERS:
        return Refusal("the ground is not a plane")
    ordered = np.sort(z)
    if ordered[9 * len(z) // 10] < LEAST_RANGE * ordered[len(z) // 10]:
        return Refusal("the ground is visible over too short a range")
    lateral = np.sort(points[:, 0])
    if lateral[19 * len(z) // 20] - lateral[len(z) // 20] < LEAST_WIDTH * distance:
        return Refusal("the ground is visible over too narrow a strip")
    points, z = points[inliers], z[inliers]
    quarters = np.digitize(z, np.quantile(z, (0.25, 0.5, 0.75)))
    heights = [median((points @ normal)[quarters == k]) / distance for k in range(4)]
    if min(heights) <= 0 or max(abs(math.log(h)) for h in heights) > LARGEST_BEND:
        return Refusal("the ground bends: a slope ahead, or depth that is wrong there")
    parts = np.digitize(points[:, 0], np.quantile(points[:, 0], np.arange(1, 8) / 8))
    across = [median((points @ normal)[parts == k]) / distance for k in range(8)]
    if np.abs(np.diff(across)).max() > LARGEST_STEP:
        return Refusal("the ground has a step: a kerb")
    return GroundPlane(normal, distance, spread)


def _fit(points: Float, down: Float) -> tuple[Float, float] | None:
    """Reweighted least squares of normal . p = distance, with weights / z^2."""
    # In axes with the second one along `down`: y' = a x' + b z' + c.
    side = np.cross(down, (0.0, 0.0, 1.0))
    if np.linalg.norm(side) < 0.3:  # the camera looks straight down
        return None
    side /= np.linalg.norm(side)
    ahead = np.cross(side, down)
    turned = points @ np.stack((side, down, ahead), 1)
    z = points[:, 2]
    terms = np.stack((turned[:, 0], turned[:, 2], np.ones(len(z))), 1)
    precision = 1 / z**2
    weights = precision
    plane: Float = np.zeros(3)
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        plane = cv2.solve(weighted.T @ terms, weighted.T @ turned[:, 1], flags=cv2.DECOMP_SVD)[1][
            :, 0
        ]
        residual = np.abs(turned[:, 1] - terms @ plane) / z
        limit = _TUKEY * max(median(residual), 1e-4)
        weights = precision * np.clip(1 - (residual / limit) ** 2, 0, None) ** 2
    a, b, c = (float(v) for v in plane)
    if c <= 0 or not math.isfinite(a + b + c):
        return None
    length = math.sqrt(a * a + b * b + 1)
    normal = (down - a * side - b * ahead) / length
    return normal, c / length


def height_of(plane: GroundPlane, mount: CameraMount) -> ScaleMeasurement:
    """The scale at which the camera is as high above the plane as it is mounted."""
    return ScaleMeasurement(math.log(mount.height / plane.distance), FRAME_STD)
