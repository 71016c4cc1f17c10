# SPDX-License-Identifier: Apache-2.0
"""How the camera is mounted, and the ground that it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import median

Float = NDArray[np.float64]

_LEAST_SLOPE = 0.05
_EVERY = 4
_LEAST_PIXELS = 20


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
    """The ground that a frame shows.

    Attributes:
        normal: (3,) unit vector from the camera to the ground, optical frame.
        distance: of the camera from it, in the network's unit.
    """

    normal: Float
    distance: float

    @property
    def pitch(self) -> float:
        """Angle of the optical axis below the horizon, radians."""
        return math.asin(max(-1.0, min(1.0, float(self.normal[2]))))

    @property
    def roll(self) -> float:
        """Rotation of the camera about its optical axis, clockwise, radians."""
        return math.atan2(-float(self.normal[0]), float(self.normal[1]))


def network_height(
    depth: NDArray[np.float32], ground: NDArray[np.bool_], camera: Camera, mount: CameraMount
) -> float | None:
    """The camera's height in the network's unit, if the ground and the mount are level.

    A guess only: it is wrong by a tenth for a vehicle that brakes, and by far more where the
    network's road is bent.

    Args:
        depth: (H, W) float32.
        ground: (H, W) bool.
        camera: intrinsics of both.
        mount: its direction to the ground is used.

    Returns:
        None if too little ground is visible.
    """
    rows, columns = np.nonzero(ground[::_EVERY, ::_EVERY])
    rows, columns = _EVERY * rows, _EVERY * columns
    x, y = camera.rays(columns, rows)
    down = np.asarray(mount.down) / np.linalg.norm(mount.down)
    slope = x * down[0] + y * down[1] + down[2]
    heights = slope * depth[rows, columns]
    known = (slope > _LEAST_SLOPE) & np.isfinite(heights) & (heights > 0)
    return median(heights[known]) if known.sum() >= _LEAST_PIXELS else None
