# SPDX-License-Identifier: Apache-2.0
"""Boxes around things that can move, as people annotated them or as a scene was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.camera import Camera

_NEAREST = 0.1


@dataclass(frozen=True)
class Box:
    """One thing in one frame: an oriented box in the camera's frame.

    Attributes:
        track: the thing's name, the same in every frame of its sequence that shows it.
        kind: its Cityscapes class, such as "car", "person", "bicycle".
        T_camera_from_box: (4, 4) float64, metres. The box's frame has its origin at the box's
            centre, x along the length, y along the width, z along the height.
        size: (length, width, height) in metres.
        speed: in the world, metres per second, as a displacement over one second around the frame
            (less at a track's ends); NaN where it is not known.
        truncated: the image's border cuts it.
    """

    track: str
    kind: str
    T_camera_from_box: NDArray[np.float64]
    size: tuple[float, float, float]
    speed: float
    truncated: bool = False

    def corners(self) -> NDArray[np.float64]:
        """(8, 3) float64, metres, camera frame."""
        signs = np.array(np.meshgrid((-0.5, 0.5), (-0.5, 0.5), (-0.5, 0.5))).reshape(3, 8)
        local = signs * np.array(self.size)[:, None]
        rotation, centre = self.T_camera_from_box[:3, :3], self.T_camera_from_box[:3, 3:]
        return np.asarray((rotation @ local + centre).T)

    def contains(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which points of the camera frame lie within the box.

        Args:
            points: (..., 3), metres.

        Returns:
            (...) bool; False for points that are not finite.
        """
        rotation, centre = self.T_camera_from_box[:3, :3], self.T_camera_from_box[:3, 3]
        local = np.abs((points - centre) @ rotation)
        return np.asarray((local <= np.array(self.size) / 2).all(-1))

    def outline(self, camera: Camera) -> tuple[float, float, float, float] | None:
        """The upright rectangle around the box's image, clipped to the image's borders.

        Args:
            camera: intrinsics without distortion.

        Returns:
            (left, top, right, bottom) in pixels, or None where a corner is behind the camera or
            nothing of the box is in the image.
        """
        x, y, z = self.corners().T
        if z.min() < _NEAREST:
            return None
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        left, right = np.clip((u.min(), u.max()), -0.5, camera.width - 0.5)
        top, bottom = np.clip((v.min(), v.max()), -0.5, camera.height - 0.5)
        if right - left < 1 or bottom - top < 1:
            return None
        return float(left), float(top), float(right), float(bottom)
