# SPDX-License-Identifier: Apache-2.0
"""Boxes around things that can move, as people annotated them or as a scene was made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera

_NEAREST = 0.1


@dataclass(frozen=True)
class Box:
    """One thing in one frame: an oriented box in the camera's frame.

    Attributes:
        track: the thing's name, the same in every frame of its sequence that shows it.
        kind: its Cityscapes class, such as "car", "person", "rider" (a person on a bicycle, with
            the bicycle); "misc" for what can move and has none.
        T_camera_from_box: (4, 4) float64, metres. The box's frame has its origin at the box's
            centre, x along the length to the front, y along the width to the left, z along the
            height upwards.
        size: (length, width, height) in metres.
        speed: in the world, metres per second, as a horizontal displacement over one second
            around the frame (less at a track's ends); NaN where it is not known.
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
        with np.errstate(invalid="ignore"):  # the sky is infinitely far
            local = np.abs((points - centre) @ rotation)
        return np.asarray((local <= np.array(self.size) / 2).all(-1))

    def seen_by(self, camera: Camera) -> Box | None:
        """The box as a part of a camera's image, whether or not something hides it.

        Args:
            camera: intrinsics without distortion.

        Returns:
            The box, `truncated` if it was or if it reaches beyond the image; None where all of it
            is beside the image or behind the camera.
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
