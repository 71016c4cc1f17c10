# SPDX-License-Identifier: Apache-2.0
"""Intrinsics as calibration tools and drivers write them: checked, and under one name.

Every door uses these functions: YAML files, CameraInfo of bags and live, matrices of data sets.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from depth_recog.errors import CalibrationError
from depth_recog.limits import COEFFICIENTS, IMAGE_PIXELS
from depth_recog.method.geometry.camera import DISTORTION_MODELS, Camera
from depth_recog.texts import shown

SYNONYMS = {
    "": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "radtan": "plumb_bob",
    "radial-tangential": "plumb_bob",
    "fisheye": "equidistant",
    "equi": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
}
"""Names of kalibr, OpenCV, RealSense and others for the models of sensor_msgs/CameraInfo."""

_LARGEST_SKEW = 0.01
"""Share of fx; below it, skew moves no pixel by more than the calibration's own error."""
_LEAST_FOCAL, _MOST_FOCAL = 0.1, 50.0
"""Focal length / longer side of the image: fields of view of 157 degrees (fisheye: more) and 1."""
_MOST_UNEQUAL = 4.0
_OFF_BOTH = 0.25
"""Both coordinates of the principal point off by this share, to one side: K of another size."""
_OUTSIDE = 0.25
"""Share of the image by which the principal point of a cropped image may lie outside of it."""


def intrinsics(k: Sequence[float], width: int, height: int, name: str = "K") -> Camera:
    """Makes the camera of an intrinsic matrix, without distortion.

    A skew below 1 % of fx is dropped with a warning.

    Args:
        k: 3x3, row by row, pixels.
        width: of the images, pixels.
        height: of the images, pixels.
        name: of the matrix, for messages.

    Raises:
        CalibrationError: uncalibrated (k[0] == 0), no intrinsic matrix, or not that of such images.
    """
    check_pixels(width, height)
    fx, skew, cx, zero, fy, cy, *last = (float(value) for value in k)
    camera = Camera(width, height, fx, fy, cx, cy)
    if (zero, *last) != (0.0, 0.0, 0.0, 1.0) or abs(skew) > _LARGEST_SKEW * fx:
        raise CalibrationError(
            f"{name} must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], row by row, not "
            f"{[float(value) for value in k]}"
        )
    check_plausible(camera, name)
    if skew:
        logging.getLogger(__name__).warning(
            "%s has a skew of %g pixels (fx %g), which is dropped: no camera has one",
            name,
            skew,
            fx,
        )
    return camera


def check_pixels(width: int, height: int) -> None:
    """Check the size of images. Raises CalibrationError where it is none, or too large to hold."""
    if width < 1 or height < 1 or width * height > IMAGE_PIXELS:
        raise CalibrationError(
            f"image size {shown(width)}x{shown(height)} in the calibration: both must be positive, "
            f"and at most {IMAGE_PIXELS} pixels together"
        )


def check_plausible(camera: Camera, name: str = "K") -> None:
    """Checks that intrinsics can be those of images of this size.

    Raises:
        CalibrationError: a focal length or a principal point that no such camera has: normalised,
            in millimetres, or of another image size.
    """
    size = f"the images are {camera.width}x{camera.height}"
    point = f"the principal point at ({camera.cx:g}, {camera.cy:g})"
    across, down = (camera.cx + 0.5) / camera.width, (camera.cy + 0.5) / camera.height
    if max(camera.fx, camera.fy) < 10 and 0 <= camera.cx <= 1 and 0 <= camera.cy <= 1:
        raise CalibrationError(
            f"{name} puts {point}, but {size}: it is normalised; multiply fx and cx by the width, "
            "fy and cy by the height"
        )
    longer = max(camera.width, camera.height)
    for focal in (camera.fx, camera.fy):
        if not _LEAST_FOCAL * longer <= focal <= _MOST_FOCAL * longer:
            raise CalibrationError(
                f"{name} has a focal length of {focal:g} pixels, but {size}: it must be in pixels, "
                "not in millimetres, and for this image size"
            )
    if not 1 / _MOST_UNEQUAL <= camera.fx / camera.fy <= _MOST_UNEQUAL:
        raise CalibrationError(
            f"{name} has the focal lengths {camera.fx:g} and {camera.fy:g}: pixels are about "
            "square, so both must be similar; correct the wrong one"
        )
    # One coordinate alone may be far off: the images were cropped.
    low, high = 0.5 * (1 - _OFF_BOTH), 0.5 / (1 - _OFF_BOTH)
    other_size = max(across, down) < low or min(across, down) > high
    if other_size or not all(-_OUTSIDE <= share <= 1 + _OUTSIDE for share in (across, down)):
        raise CalibrationError(
            f"{name} puts {point}, but {size}: scale fx, cx by the width and fy, cy by the height "
            f"if the images were resized, from about {2 * camera.cx:.0f}x{2 * camera.cy:.0f}"
        )


def with_lens(camera: Camera, model: str, distortion: Sequence[float]) -> Camera:
    """Adds the distortion to a camera, under the model's name in CameraInfo.

    Without coefficients, or with zeros only, any model means no distortion, except for an
    equidistant lens with zeros: it stays a fisheye. As in OpenCV, the number of coefficients tells
    plumb_bob from rational_polynomial.

    Args:
        camera: without distortion.
        model: its name, in any tool's spelling.
        distortion: coefficients in the order of CameraInfo.d.

    Raises:
        CalibrationError: an unknown model with coefficients, or a number of them it does not have.
    """
    if len(distortion) > COEFFICIENTS:
        raise CalibrationError(f"the lens has {len(distortion)} coefficients: the models have 14")
    name = model.strip().lower()
    name = SYNONYMS.get(name, name)
    if not distortion or not any(distortion):
        if name != "equidistant" or not distortion:
            return camera
    elif name in ("plumb_bob", "rational_polynomial"):
        name = "plumb_bob" if len(distortion) <= 5 else "rational_polynomial"
    allowed = DISTORTION_MODELS.get(name, ())
    kept = list(distortion)
    while kept and kept[-1] == 0 and len(kept) not in allowed:
        kept.pop()
    values = kept if len(kept) in allowed else distortion
    return replace(camera, distortion=tuple(values), distortion_model=name)
