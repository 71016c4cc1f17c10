# SPDX-License-Identifier: Apache-2.0
"""Image files: listing, decoding, and intrinsics that fit their size."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from depth_recog.datasets.orientation import orientation_of, upright
from depth_recog.errors import CalibrationError, EncodingError, SourceError
from depth_recog.files import read_bytes, text_of, user_path
from depth_recog.interfaces import encoded_image
from depth_recog.interfaces.bit_depth import FULL_RANGE, BitDepth
from depth_recog.interfaces.calibration import check_plausible
from depth_recog.interfaces.image_header import BMP
from depth_recog.limits import IMAGE_FILE_BYTES
from depth_recog.method.geometry.camera import Camera

_RAW_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", *_RAW_SUFFIXES)


def existing_folder(path: str | Path, layout: str) -> Path:
    """The folder as an absolute path; symbolic links are kept, as neighbours are found by name.

    Args:
        path: from the user; a leading ~ is expanded.
        layout: the expected content, for the message.

    Raises:
        SourceError: there is no such folder.
    """
    folder = Path(os.path.abspath(user_path(path)))
    if not folder.exists():
        raise SourceError(f"{folder} does not exist: check the spelling; expected {layout}")
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: give {layout}")
    return folder


def natural_key(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts frame9 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def list_images(folder: Path) -> list[Path]:
    """Lists the images of a folder in natural order, without hidden files.

    TIFFs beside other images are not listed: they often hold depth.

    Raises:
        SourceError: the folder cannot be listed, a name is not valid UTF-8, or two images have
            the same stem and so the same frame name.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise SourceError(f"{folder} cannot be listed ({error.strerror}): check it") from error
    files = [
        folder / name
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
    ]
    files = [f for f in files if f.suffix.lower() not in _RAW_SUFFIXES] or files
    files.sort(key=natural_key)
    seen: dict[str, str] = {}
    for file in files:
        text_of(file)
        other = seen.setdefault(file.stem, file.name)
        if other != file.name:
            raise SourceError(
                f"{folder} holds both {other} and {file.name}: keep one image of each name"
            )
    return files


def read_rgb(path: Path, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    """Decodes one image file and turns it upright as its EXIF data say.

    `bits` are those of a 16-bit image.

    Returns:
        (H, W, 3) uint8, RGB, contiguous; three equal channels for a grey image.

    Raises:
        SourceError: the file is missing, cut off, or no image.
    """
    # OpenCV's versions differ in the formats whose EXIF data they read.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    data = _content(path)
    stored = _decoded(path, data, flags)
    if stored.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"{path} holds {stored.dtype} numbers: convert it to 8 or 16 bits")
    image = bits.to_8_bit(stored)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return upright(image, orientation_of(data))


def read_depth(
    path: Path,
    units_per_metre: float,
    size: tuple[int, int],
    invalid: tuple[int, ...] = (0,),
    beyond: int | None = None,
) -> NDArray[np.float32]:
    """Decodes a 16-bit depth PNG.

    Args:
        path: the PNG.
        units_per_metre: 256 for KITTI, 1000 for millimetres.
        size: (width, height) of the image in pixels, which the depth must have.
        invalid: raw values for unknown depth.
        beyond: raw value for the sky, if any.

    Returns:
        (H, W) float32, metres, NaN where unknown, +inf where sky.

    Raises:
        SourceError: the file is missing, damaged, not 16-bit or of another size.
    """
    raw = _decode(path, cv2.IMREAD_UNCHANGED)
    if raw.dtype != np.uint16 or raw.ndim != 2:
        raise SourceError(
            f"{path} is {raw.dtype} with shape {raw.shape}: depth must be a 16-bit PNG with one "
            "channel; fetch the file again"
        )
    check_size(path, raw, size, "depth")
    depth = raw.astype(np.float32) / np.float32(units_per_metre)
    for value in invalid:
        depth[raw == value] = np.nan
    if beyond is not None:
        depth[raw == beyond] = np.inf
    return depth


def read_colour_codes(path: Path, size: tuple[int, int], what: str) -> NDArray[np.generic]:
    """Decodes an image whose three channels are a code, not a colour.

    Args:
        path: the file.
        size: (width, height) in pixels that it must have.
        what: its content, for the message.

    Returns:
        (H, W, 3) uint8 or uint16 as stored, in the order R, G, B.

    Raises:
        SourceError: the file is missing, damaged, has another number of channels or another size.
    """
    raw = _decode(path, cv2.IMREAD_UNCHANGED)
    if raw.ndim != 3 or raw.shape[2] != 3:
        raise SourceError(
            f"{path} has shape {raw.shape}: {what} must have three channels; fetch the file again"
        )
    check_size(path, raw, size, what)
    return raw[..., ::-1]


def read_ids(path: Path, size: tuple[int, int], what: str) -> NDArray[np.uint8]:
    """Decodes an 8-bit image of ids: grey levels, or the indices of a palette image.

    Args:
        path: the file.
        size: (width, height) in pixels that it must have.
        what: its content, for the message.

    Returns:
        (H, W) uint8.

    Raises:
        SourceError: the file is missing, damaged, of another kind or of another size.
    """
    data = _content(path)
    # Its message for a cut-off file is better than Pillow's.
    _decoded(path, data, cv2.IMREAD_UNCHANGED)
    # OpenCV replaces palette indices by colours.
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, numbers = image.mode, np.array(image)
    except Exception as error:  # Pillow raises many types
        raise SourceError(f"{path} is damaged ({error}): restore or delete it") from error
    if kind not in ("L", "P"):
        raise SourceError(
            f"{path} is an image of kind {kind}: {what} must be 8-bit with one channel; fetch the "
            "file again"
        )
    check_size(path, numbers, size, what)
    return np.asarray(numbers, dtype=np.uint8)


def check_size(path: Path, raw: NDArray[np.generic], size: tuple[int, int], what: str) -> None:
    """Raises SourceError unless `raw` (H, W, ...) is as large as its image, (width, height)."""
    if raw.shape[1::-1] != size:
        raise SourceError(
            f"{path} is {raw.shape[1]}x{raw.shape[0]}, its image {size[0]}x{size[1]}: {what} and "
            "image must have one size; do not resize one without the other"
        )


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of what `read_rgb` returns. Raises SourceError as it does."""
    data = _content(path)
    height, width = _decoded(path, data, cv2.IMREAD_UNCHANGED).shape[:2]
    return (height, width) if orientation_of(data) >= 5 else (width, height)


def _decode(path: Path, flags: int) -> NDArray[np.generic]:
    """cv2.imread with the reason of a failure. Raises SourceError."""
    return _decoded(path, _content(path), flags)


def _content(path: Path) -> bytes:
    try:
        data = read_bytes(path, IMAGE_FILE_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): restore it") from error
    if not data:
        raise SourceError(f"{path} is empty: restore or delete it")
    if data.startswith(BMP) and path.suffix.lower() != ".bmp":
        raise SourceError(f"{path} is a BMP: restore it, or name it so")
    return data


def _decoded(path: Path, data: bytes, flags: int) -> NDArray[np.generic]:
    what = f"{path} ({len(data)} bytes) is no image, or it is cut off or damaged"
    try:
        image = encoded_image.decode(data, flags)
    except EncodingError as error:
        raise SourceError(f"{what} ({error}): restore or delete it") from error
    if image is None:
        raise SourceError(f"{what}: restore or delete it")
    return image


def fit_camera(camera: Camera, width: int, height: int, calibration: Path, image: Path) -> Camera:
    """Scales a camera to an image of `width` x `height` pixels.

    Raises:
        CalibrationError: the aspect ratios differ by more than rounding to whole pixels explains:
            the image was cropped, or the calibration is another camera's.
    """
    if camera.size == (width, height):
        return camera
    w, h = camera.size
    if min(abs(width * h / w - height), abs(height * w / h - width)) >= 1.0:
        raise CalibrationError(
            f"{image} is {width}x{height}, {calibration} is for {w}x{h}: the aspect ratios "
            f"differ, so it cannot be scaled; write a calibration for {width}x{height}"
        )
    return camera.resized(width, height)


def camera_of_matrix(
    matrix: NDArray[np.float64], width: int, height: int, calibration: Path
) -> Camera:
    """The camera of a calibration file that holds K but no image size.

    Raises:
        CalibrationError: K is invalid, or the principal point is far from the image's centre, as
            after resizing the images without scaling K.
    """
    try:
        camera = Camera.from_matrix(matrix, width, height)
    except CalibrationError as error:
        raise CalibrationError(f"{calibration}: {error}") from error
    check_plausible(camera, str(calibration))
    if abs(camera.cx / width - 0.5) > 0.25 or abs(camera.cy / height - 0.5) > 0.25:
        raise CalibrationError(
            f"{calibration} puts the principal point at ({camera.cx:.1f}, {camera.cy:.1f}), but "
            f"the images are {width}x{height}: scale fx, cx by the width and fy, cy by the "
            "height if the images were resized"
        )
    return camera
