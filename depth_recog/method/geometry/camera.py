# SPDX-License-Identifier: Apache-2.0
"""Pinhole intrinsics, and how resizing and cropping change them.

Pixel coordinates refer to pixel centres: (0, 0) is the centre of the top-left pixel, and the image
covers [-0.5, width - 0.5] x [-0.5, height - 0.5]. Resizing by s therefore maps a coordinate c to
(c + 0.5) s - 0.5. Sampling (`align_corners=False`), resizing and CameraInfo share this convention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import CalibrationError, UncalibratedError
from depth_recog.texts import shown

DISTORTION_MODELS = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}


def focal_length(width: int, fov: float) -> float:
    """Focal length in pixels of an image `width` pixels wide, from the field of view in degrees."""
    return width / 2 / math.tan(math.radians(fov) / 2)


@dataclass(frozen=True)
class Camera:
    """Intrinsics of an image of `width` x `height` pixels.

    The focal lengths `fx` and `fy` and the principal point (`cx`, `cy`) are in pixels, the latter
    from the centre of the top-left pixel.

    Attributes:
        distortion: coefficients in the order of sensor_msgs/CameraInfo.d; empty when rectified.
        distortion_model: a key of `DISTORTION_MODELS`.
        assumed: whether this is a guess without a calibration: depth in metres is then a guess too.

    Raises:
        CalibrationError: a size or focal length that is not positive and finite, or a distortion
            that the model does not allow.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    distortion_model: str = "plumb_bob"
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CalibrationError(
                f"image size {self.width}x{self.height} in the calibration: both must be positive"
            )
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(v) for v in values):
            raise CalibrationError("the calibration holds a value that is not finite")
        if self.fx == 0 or self.fy == 0:
            raise UncalibratedError(
                "the camera is uncalibrated (K[0] == 0): calibrate it, for instance with the ROS "
                "package camera_calibration, and publish the result as camera_info"
            )
        if self.fx < 0 or self.fy < 0:
            raise CalibrationError(f"negative focal length fx={self.fx}, fy={self.fy}")
        allowed = DISTORTION_MODELS.get(self.distortion_model)
        if allowed is None:
            raise CalibrationError(
                f"unknown distortion model {shown(self.distortion_model)}: "
                f"one of {', '.join(DISTORTION_MODELS)} is needed"
            )
        if self.distorted and len(self.distortion) not in allowed:
            raise CalibrationError(
                f"distortion model {self.distortion_model} takes {allowed} coefficients, "
                f"the calibration has {len(self.distortion)}"
            )

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.float64], width: int, height: int) -> Camera:
        """Make a camera from a 3x3 intrinsic matrix, or a 3x4 one without its last column."""
        k = np.asarray(matrix, dtype=np.float64)
        return cls(width, height, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))

    @classmethod
    def guess(cls, width: int, height: int, focal: float) -> Camera:
        """Make the camera of an image without calibration: square pixels, centred, no distortion.

        Args:
            width: of the image, pixels.
            height: of the image, pixels.
            focal: focal length, pixels.
        """
        centre = (width - 1) / 2, (height - 1) / 2
        return cls(width, height, focal, focal, *centre, assumed=True)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, (3, 3) float64, pixels."""
        return np.array(((self.fx, 0.0, self.cx), (0.0, self.fy, self.cy), (0.0, 0.0, 1.0)))

    def rays(self, u: NDArray[Any], v: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return x and y of K^-1 (u, v, 1) for undistorted pixels (N,), on the plane z = 1."""
        return (u - self.cx) / self.fx, (v - self.cy) / self.fy

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def distorted(self) -> bool:
        """Whether rectification changes the image; a fisheye lens does so with zeros too."""
        return any(self.distortion) or self.distortion_model == "equidistant"

    def rectified(self) -> Camera:
        """Return the same camera without distortion."""
        return replace(self, distortion=(), distortion_model="plumb_bob")

    def resized(self, width: int, height: int) -> Camera:
        """Return the intrinsics of the image resized to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """Return the intrinsics of the window whose top-left pixel is (x, y).

        Raises:
            CalibrationError: the window is not inside the image.
        """
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise CalibrationError(
                f"crop {width}x{height} at ({x}, {y}) leaves the {self.width}x{self.height} image"
            )
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)
