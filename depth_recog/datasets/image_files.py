# SPDX-License-Identifier: Apache-2.0
"""What every reader of files needs of images: listing them, decoding them, their intrinsics."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from depth_recog.errors import CalibrationError, SourceError
from depth_recog.files import text_of
from depth_recog.method.geometry.camera import Camera

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def existing_folder(path: str | Path, layout: str) -> Path:
    """The folder as an absolute path, links kept: neighbours are found by the name as given.

    Args:
        path: what the user gave; a leading ~ is expanded.
        layout: what is expected there, for the message.

    Raises:
        SourceError: there is no such folder.
    """
    folder = Path(os.path.abspath(Path(path).expanduser()))
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
    """The folder's images in natural order; hidden files are left out. Empty if there are none.

    Raises:
        SourceError: the folder cannot be listed, a name is not valid UTF-8, or two images share a
            stem, which would give two frames one name.
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


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decodes one image file.

    Returns:
        (H, W, 3) uint8, RGB, contiguous; a grey image has three equal channels.

    Raises:
        SourceError: the file is missing, cut off, or no image.
    """
    image = np.asarray(_decode(path, cv2.IMREAD_COLOR), dtype=np.uint8)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image


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
        size: (width, height) in pixels that the depth must have, the image's.
        invalid: raw values that mean "unknown".
        beyond: the raw value that means "sky", if there is one.

    Returns:
        (H, W) float32, metres, NaN where unknown, +inf where sky.

    Raises:
        SourceError: the file is missing, damaged, no 16-bit image or of another size.
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
    """Decodes an image whose three channels are no colour but a code.

    Args:
        path: the image.
        size: (width, height) in pixels that it must have, the image's.
        what: what it codes, for the message.

    Returns:
        (H, W, 3) uint8 or uint16, as stored, in the order R, G, B.

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
    """Decodes an 8-bit image of numbers: grey, or indexed (where the index is the number).

    Args:
        path: the image.
        size: (width, height) in pixels that it must have, the image's.
        what: what it numbers, for the message.

    Returns:
        (H, W) uint8.

    Raises:
        SourceError: the file is missing, damaged, of another kind or of another size.
    """
    _decode(path, cv2.IMREAD_UNCHANGED)  # names what is cut off better than Pillow does
    # OpenCV replaces an index by its colour, which cannot be undone.
    try:
        with Image.open(path) as image:
            kind, numbers = image.mode, np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
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
    """(width, height) of an image file in pixels. Raises SourceError as `read_rgb` does."""
    height, width = _decode(path, cv2.IMREAD_UNCHANGED).shape[:2]
    return width, height


def _decode(path: Path, flags: int) -> NDArray[np.generic]:
    """cv2.imread, but with the reason for a failure. Raises SourceError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): restore it") from error
    if not data:
        raise SourceError(f"{path} is empty: restore or delete it")
    image = None if is_cut_off(data) else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise SourceError(
            f"{path} ({len(data)} bytes) is no image, or it is cut off or damaged: restore or "
            "delete it"
        )
    return image


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or a PNG lacks its end.

    Some versions of OpenCV fill what a cut-off image lacks with grey and report success.
    """
    if data.startswith(b"\xff\xd8"):
        # Entropy coded data never holds a bare marker, so the last "start of scan" must have an end
        # after it.
        return data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and data.rfind(b"IEND") < 0


def fit_camera(camera: Camera, width: int, height: int, calibration: Path, image: Path) -> Camera:
    """The camera for an image of `width` x `height` pixels, scaled if only the size differs.

    Raises:
        CalibrationError: the image has another aspect ratio than the calibration (by more than
            the rounding to whole pixels explains), so it was cropped or is another camera's.
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
    """The camera of a calibration file that does not say for which size it is.

    Raises:
        CalibrationError: no camera has such a matrix, or the principal point is far from the
            image's middle: the images were resized and the file was not.
    """
    try:
        camera = Camera.from_matrix(matrix, width, height)
    except CalibrationError as error:
        raise CalibrationError(f"{calibration}: {error}") from error
    if abs(camera.cx / width - 0.5) > 0.25 or abs(camera.cy / height - 0.5) > 0.25:
        raise CalibrationError(
            f"{calibration} puts the principal point at ({camera.cx:.1f}, {camera.cy:.1f}), but "
            f"the images are {width}x{height}: scale fx, cx by the width and fy, cy by the "
            "height if the images were resized"
        )
    return camera
