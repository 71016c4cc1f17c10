# SPDX-License-Identifier: Apache-2.0
"""Conversion between sensor_msgs/CameraInfo and `Camera`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import CalibrationError
from depth_recog.interfaces.calibration import intrinsics, with_lens
from depth_recog.limits import COEFFICIENTS, FRAME_CHARACTERS
from depth_recog.method.geometry.camera import Camera


@dataclass(frozen=True)
class CameraCalibration:
    """The cameras of an image before and after rectification, from its CameraInfo.

    Attributes:
        camera: camera of the received image, with distortion.
        rectified: camera of the rectified image: P's left 3x3 block, or K if P is empty.
        rotation: (3, 3) float64 rectification matrix R.
        baseline: (x, y) of P's last column divided by the focal lengths, metres: the second camera
            of a stereo pair seen from the first, negated (REP 104); zero for one camera.
    """

    camera: Camera
    rectified: Camera
    rotation: NDArray[np.float64]
    baseline: tuple[float, float] = (0.0, 0.0)


def check_lengths(info: Any) -> None:
    """Refuse a CameraInfo that is too long to be kept. Raises CalibrationError."""
    if len(info.d) > COEFFICIENTS:
        raise CalibrationError(
            f"camera_info has {len(info.d)} distortion coefficients, no lens model has more than "
            "14: calibrate again"
        )
    for name, text in (("model", info.distortion_model), ("frame_id", info.header.frame_id)):
        if len(text) > FRAME_CHARACTERS:
            raise CalibrationError(f"camera_info has a {name} of {len(text)} characters")


def identity(info: Any) -> tuple[object, ...]:
    """All fields that `from_message` reads, to compare calibrations."""
    roi = info.roi
    # As bytes, because NaN differs from itself.
    matrices = (np.asarray(m, np.float64).tobytes() for m in (info.k, info.d, info.r, info.p))
    window = roi.x_offset, roi.y_offset, roi.width, roi.height, info.binning_x, info.binning_y
    return info.width, info.height, info.distortion_model, *matrices, *window


def uncalibrated(info: Any, image_is_rectified: bool = False) -> bool:
    """Whether the driver has no calibration: K[0] == 0, by the message's definition."""
    return info.k[0] == 0 and not (image_is_rectified and info.p[0] != 0)


def from_message(info: Any, image_is_rectified: bool = False) -> CameraCalibration:
    """Reads a CameraInfo and applies its region of interest and binning.

    Args:
        info: the message, of rclpy or of a bag.
        image_is_rectified: the image was rectified before (an `image_rect` topic): only P counts.

    Raises:
        CalibrationError: uncalibrated (K[0] == 0), invalid values, or not those of such images.
    """
    k = np.asarray(info.k, dtype=np.float64).reshape(3, 3)
    p = np.asarray(info.p, dtype=np.float64).reshape(3, 4)
    new, name = (p[:, :3], "P") if p[0, 0] != 0 else (k, "K")
    if not image_is_rectified:
        raw = intrinsics(k.ravel().tolist(), info.width, info.height)
        # At most one more than is read: a message may hold millions.
        raw = with_lens(raw, info.distortion_model, [float(d) for d in info.d[: COEFFICIENTS + 1]])
    rectified = intrinsics(new.ravel().tolist(), info.width, info.height, name)
    if image_is_rectified:
        window = _window(rectified, info)
        return CameraCalibration(window, window, np.eye(3), _baseline(p))
    r = np.asarray(info.r, dtype=np.float64).reshape(3, 3)
    rotation = r if r.any() else np.eye(3)
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise CalibrationError("the rectification matrix R is no rotation: calibrate again")
    return CameraCalibration(_window(raw, info), _window(rectified, info), rotation, _baseline(p))


def _baseline(p: NDArray[np.float64]) -> tuple[float, float]:
    if not np.isfinite(p).all():
        raise CalibrationError("P has values that are not finite: calibrate again")
    if not p[0, 0] or not p[1, 1]:
        return 0.0, 0.0
    return float(p[0, 3] / p[0, 0]), float(p[1, 3] / p[1, 1])


def image_size(info: Any) -> tuple[int, int]:
    """(width, height) in pixels of the images of a CameraInfo: of its window, after binning."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)


def _window(camera: Camera, info: Any) -> Camera:
    roi = info.roi
    width, height = roi.width or camera.width, roi.height or camera.height
    if (width, height) != camera.size or roi.x_offset or roi.y_offset:
        camera = camera.cropped(roi.x_offset, roi.y_offset, width, height)
    bx, by = max(info.binning_x, 1), max(info.binning_y, 1)
    if (bx, by) != (1, 1):
        if camera.width < bx or camera.height < by:
            raise CalibrationError(f"binning {bx}x{by} leaves nothing of the image")
        camera = camera.resized(camera.width // bx, camera.height // by)
    return camera


def uncalibrated_fields(camera: Camera) -> dict[str, Any]:
    """Fields of the CameraInfo of a camera without calibration: its size only, K is zero."""
    return {"width": camera.width, "height": camera.height}


def fields(camera: Camera, baseline: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
    """Fields of a CameraInfo for this camera, without region of interest and binning.

    Args:
        camera: its intrinsics.
        baseline: see `CameraCalibration`; it goes into P's last column.
    """
    k = camera.matrix
    shift = np.array([[camera.fx * baseline[0]], [camera.fy * baseline[1]], [0.0]])
    return {
        "width": camera.width,
        "height": camera.height,
        "distortion_model": camera.distortion_model,
        "d": list(camera.distortion) if camera.distorted else [0.0] * 5,
        "k": k.reshape(-1).tolist(),
        "r": np.eye(3).reshape(-1).tolist(),
        "p": np.hstack((k, shift)).reshape(-1).tolist(),
    }
