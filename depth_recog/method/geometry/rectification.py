# SPDX-License-Identifier: Apache-2.0
"""Rectification maps, and the rectified pixels that the camera has seen.

A rectified image shows directions that the camera never saw: beyond the sensor's border, and beyond
the angle at which the distortion polynomial turns back. There OpenCV's maps point into the image
again, and the remapped image repeats its rim.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera

Maps = tuple[NDArray[np.int16], NDArray[np.uint16]]

_SAMPLES = 4096
_ROUNDING = 1e-3  # of the maps, pixels


def rectification_maps(
    camera: Camera, target: Camera, rotation: NDArray[np.float64], kind: int = cv2.CV_16SC2
) -> Maps:
    """Return OpenCV's maps from a rectified image to the camera's.

    Args:
        camera: of the received image, with distortion.
        target: of the rectified image.
        rotation: (3, 3) rectification rotation (CameraInfo's R).
        kind: CV_16SC2 (fast), or CV_32FC1 (exact).
    """
    coefficients = np.asarray(camera.distortion, dtype=np.float64)
    lens = cv2.fisheye if camera.distortion_model == "equidistant" else cv2
    return lens.initUndistortRectifyMap(  # type: ignore[no-any-return]
        camera.matrix, coefficients, rotation, target.matrix, target.size, kind
    )


def seen_pixels(
    camera: Camera, target: Camera, rotation: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Return the pixels of the rectified image that the camera has seen.

    Args:
        camera: of the received image, with distortion.
        target: of the rectified image.
        rotation: (3, 3) rectification rotation.

    Returns:
        (H, W) bool: the samples of the interpolation lie in the received image, and the lens model
        is one to one up to there. None if that is true everywhere.
    """
    x, y = rectification_maps(camera, target, rotation, cv2.CV_32FC1)
    right, bottom = camera.width - 1 + _ROUNDING, camera.height - 1 + _ROUNDING
    inside = (x >= -_ROUNDING) & (x <= right) & (y >= -_ROUNDING) & (y <= bottom)
    seen = np.asarray(inside & one_to_one(camera, target, rotation), np.bool_)
    return None if seen.all() else seen


def one_to_one(camera: Camera, target: Camera, rotation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (H, W) bool: where the lens model has not turned back yet; arguments as above."""
    u, v = np.meshgrid(np.arange(target.width), np.arange(target.height))
    pixels = np.stack((u.ravel(), v.ravel(), np.ones(u.size)))
    x, y, z = np.linalg.inv(target.matrix @ rotation) @ pixels
    across = np.hypot(x, y)
    fisheye = camera.distortion_model == "equidistant"
    with np.errstate(divide="ignore", invalid="ignore"):
        off_axis = np.arctan2(across, z) if fisheye else across / z
    in_front = z > 0
    reach = float(off_axis[in_front].max(initial=0.0))
    usable = in_front & (off_axis <= _turning_point(camera, reach))
    return np.asarray(usable.reshape(u.shape), np.bool_)


def _turning_point(camera: Camera, reach: float) -> float:
    """Return the angle (tangent, except for a fisheye) at which the radius stops to grow.

    inf if it grows up to `reach`. Tangential and thin-prism terms are small, and left out.
    """
    r = np.linspace(0.0, reach, _SAMPLES)
    k = camera.distortion
    if camera.distortion_model == "equidistant":
        powers, below = k[:4], k[:0]
    else:
        powers, below = (*k[:2], *k[4:5]), k[5:8]
    radius = r * _polynomial(powers, r)
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = radius / _polynomial(below, r)
    falls = ~(np.diff(radius) > 0)
    return float(r[np.argmax(falls)]) if falls.any() and reach > 0 else np.inf


def _polynomial(coefficients: tuple[float, ...], r: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 + k1 r^2 + k2 r^4 + ..."""
    total = np.ones_like(r)
    for power, coefficient in enumerate(coefficients, 1):
        total += coefficient * r ** (2 * power)
    return total
