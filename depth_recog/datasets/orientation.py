# SPDX-License-Identifier: Apache-2.0
"""The orientation that a file's metadata gives: EXIF's in images, the rotation in videos.

Image files and videos are turned upright, as OpenCV and ffmpeg do when a calibration tool reads
them; a calibration of the size before is turned with them. Images in messages stay as they are, as
in image_transport: camera_info and frame_id describe the pixels as sent.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from depth_recog.errors import CalibrationError
from depth_recog.files import open_regular
from depth_recog.limits import IMAGE_FILE_BYTES
from depth_recog.method.geometry.camera import Camera

UPRIGHT = 1
ROTATIONS = {0: 1, 90: 6, 180: 3, 270: 8}
"""EXIF's orientation by the clockwise rotation in degrees that makes a video upright."""

_TAG = 0x0112
_HEAD_BYTES = 2**18
_TILT = 12
P = TypeVar("P", bound=np.generic)


def orientation_of(data: bytes) -> int:
    """EXIF's orientation of an encoded image, 1 (upright) to 8; 1 without or if it is damaged."""
    if not any(mark in data for mark in (b"Exif\0\0", b"eXIf", b"EXIF")):
        return UPRIGHT
    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.getexif().get(_TAG, UPRIGHT)
    except Exception:  # Pillow raises many types
        return UPRIGHT
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def orientation_of_file(path: Path) -> int:
    """EXIF's orientation of an image file; 1 if it cannot be read."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(b"RIFF"):  # WebP has it at the end
                head += file.read(IMAGE_FILE_BYTES)
    except OSError:
        return UPRIGHT
    return orientation_of(head)


def warn_turned(place: Path, metadata: str) -> None:
    """Warns that images are turned, as the calibration may be for the images as stored."""
    logging.getLogger(__name__).warning(
        "%s is turned upright (%s); the calibration must be for upright images, one of the stored "
        "width and height is turned with them",
        place,
        metadata,
    )


def upright(image: NDArray[P], orientation: int) -> NDArray[P]:
    """An image (H, W, ...) turned upright, contiguous; the same array for orientation 1."""
    if orientation == UPRIGHT:
        return image
    if orientation >= 5:  # stored as the transposed image
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def turned(camera: Camera, orientation: int) -> Camera:
    """The camera of the image that `upright` makes.

    Raises:
        CalibrationError: the lens has a tilted sensor (14 coefficients), which is not turned.
    """
    if orientation >= 5:
        camera = _transposed(camera)
    if orientation in (3, 4, 7, 8):
        camera = _transposed(_mirrored(_transposed(camera)))
    if orientation in (2, 3, 6, 7):
        camera = _mirrored(camera)
    return camera


def _mirrored(camera: Camera) -> Camera:
    """Left and right exchanged: x becomes -x."""
    return replace(camera, cx=camera.width - 1 - camera.cx, distortion=_lens(camera, mirrored=True))


def _transposed(camera: Camera) -> Camera:
    """Rows and columns exchanged: x becomes y."""
    return replace(
        camera,
        width=camera.height,
        height=camera.width,
        fx=camera.fy,
        fy=camera.fx,
        cx=camera.cy,
        cy=camera.cx,
        distortion=_lens(camera, mirrored=False),
    )


def _lens(camera: Camera, mirrored: bool) -> tuple[float, ...]:
    """The coefficients after mirroring, else after transposing.

    OpenCV's formula has these terms::

        dx = 2 p1 x y + p2 (r^2 + 2 x^2) + s1 r^2 + s2 r^4,
        dy = p1 (r^2 + 2 y^2) + 2 p2 x y + s3 r^2 + s4 r^4.
    """
    d = list(camera.distortion)
    if camera.distortion_model == "equidistant" or len(d) < 4:
        return camera.distortion
    if any(d[_TILT:]):
        raise CalibrationError("the calibration has a tilted sensor: store the images upright")
    if mirrored:
        d[3] = -d[3]
        d[8:10] = [-s for s in d[8:10]]
    else:
        d[2], d[3] = d[3], d[2]
        d[8:12] = d[10:12] + d[8:10]
    return tuple(d)
