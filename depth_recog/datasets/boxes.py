# SPDX-License-Identifier: Apache-2.0
"""3D bounding boxes of objects, annotated or synthetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera

_NEAREST = 0.1


@dataclass(frozen=True)
class Box:
    """An oriented box around one object, in the camera's frame.

    Attributes:
        track: the object's identity, the same in all frames of the sequence.
        kind: Cityscapes class, such as "car", "person", "rider" (a person on a bicycle, with the
            bicycle); "misc" for objects of other classes.
        T_camera_from_box: (4, 4) float64, metres. The box's origin is its centre; x points to the
            front (length), y to the left (width), z up (height).
        size: (length, width, height) in metres.
        speed: metres per second in the world: horizontal displacement over one second around the
            frame (less at a track's ends); NaN if unknown.
        truncated: whether the image border cuts the box.
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
        """Tests which points lie within the box.

        Args:
            points: (..., 3), metres, camera frame.

        Returns:
            (...) bool; False for points that are not finite.
        """
        rotation, centre = self.T_camera_from_box[:3, :3], self.T_camera_from_box[:3, 3]
        with np.errstate(invalid="ignore"):  # sky points are infinite
            local = np.abs((points - centre) @ rotation)
        return np.asarray((local <= np.array(self.size) / 2).all(-1))

    def seen_by(self, camera: Camera) -> Box | None:
        """Tests whether the box is within the field of view; occlusion is ignored.

        Args:
            camera: intrinsics without distortion.

        Returns:
            The box, `truncated` if it was or if it extends beyond the image; None if it is
            outside of the image or behind the camera.
        """
        x, y, z = self.corners().T
        left, right = -0.5 - camera.cx, camera.width - 0.5 - camera.cx
        top, bottom = -0.5 - camera.cy, camera.height - 0.5 - camera.cy
        outside = np.stack(
            (
                z < _NEAREST,
                camera.fx * x < left * z,
                camera.fx * x > right * z,
                camera.fy * y < top * z,
                camera.fy * y > bottom * z,
            )
        )
        if outside.all(axis=1).any():
            return None
        return replace(self, truncated=bool(self.truncated or outside.any()))

    def outline(self, camera: Camera) -> tuple[float, float, float, float] | None:
        """The axis-aligned rectangle around the projected box, clipped to the image.

        Args:
            camera: intrinsics without distortion.

        Returns:
            (left, top, right, bottom) in pixels; None if a corner is behind the camera or the box
            is outside of the image.
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
