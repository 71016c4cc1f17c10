# SPDX-License-Identifier: Apache-2.0
"""Camera calibration files: ROS camera_info YAML, and those of kalibr, OpenCV and ros2 topic."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from depth_recog.datasets.calibration_formats import EXAMPLE, MARKS, REMEDY, kalibr_camera, load
from depth_recog.errors import CalibrationError
from depth_recog.files import read_bytes
from depth_recog.interfaces.calibration import intrinsics, with_lens
from depth_recog.interfaces.camera_info import from_message
from depth_recog.limits import DOCUMENT_BYTES
from depth_recog.method.geometry.camera import Camera
from depth_recog.texts import shown

__all__ = ["EXAMPLE", "camera_yamls", "read_camera_yaml"]

_NEUTRAL = ("", "pinhole", "perspective")
"""Values of camera_model that say nothing about the lens."""


def read_camera_yaml(path: str | Path) -> Camera:
    """Reads the intrinsics of a calibration file.

    Layout (camera_calibration_parsers)::

        image_width: 640
        image_height: 480
        camera_name: front
        camera_matrix: {rows: 3, cols: 3, data: [fx, 0, cx, 0, fy, cy, 0, 0, 1]}
        distortion_model: plumb_bob   # or rational_polynomial, equidistant; plumb_bob if left out
        distortion_coefficients: {rows: 1, cols: 5, data: [k1, k2, p1, p2, k3]}
        rectification_matrix: ...     # ignored: the identity for a single camera
        projection_matrix: ...        # ignored: images are not rectified yet

    Also read: kalibr's camchain.yaml with one pinhole camera, OpenCV's FileStorage as YAML, and
    what `ros2 topic echo` or `rostopic echo` prints of a CameraInfo. `fisheye` is `equidistant`.

    Args:
        path: the YAML file.

    Returns:
        The camera. Coefficients that are all zero are dropped, except for `equidistant`.

    Raises:
        CalibrationError: the file is missing or another kind of file, a key is missing, a matrix
            has another shape or a value that is no number, the camera is uncalibrated (all
            zeros), or the values cannot be those of such images.
    """
    path = Path(path)
    content = load(path)
    try:
        if isinstance(content.get("k"), list) and "camera_matrix" not in content:
            return from_message(_message(content, path)).camera
        if (block := kalibr_camera(content, path)) is not None:
            return _of_kalibr(block, path)
        return _of_ros(content, path)
    except CalibrationError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from None


def camera_yamls(folder: Path) -> list[Path]:
    """The folder's YAML files that hold a calibration, sorted; not checked further."""
    files = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    return [f for f in files if _is_calibration(f)]


def _is_calibration(file: Path) -> bool:
    try:
        data = read_bytes(file, DOCUMENT_BYTES)
    except OSError:
        return False
    return any(mark in data for mark in MARKS)


def _of_ros(content: dict[str, Any], path: Path) -> Camera:
    """The camera of a camera_info YAML, or of OpenCV's FileStorage."""
    k = _matrix(content, "camera_matrix", path)
    if len(k) != 9:
        raise CalibrationError(f"{path}: camera_matrix has {len(k)} numbers, 9 are needed")
    width, height = (_pixels(content, key, path) for key in ("image_width", "image_height"))
    camera = intrinsics(k, width, height, "camera_matrix")
    distortion = _matrix(content, "distortion_coefficients", path)
    return with_lens(camera, _model(content, path), distortion)


def _model(content: dict[str, Any], path: Path) -> str:
    """The distortion model; old versions of camera_calibration call the key camera_model.

    Raises:
        CalibrationError: the keys contradict each other.
    """
    named: dict[str, str] = {
        key: str(content[key] or "").strip()
        for key in ("distortion_model", "camera_model")
        if key in content
    }
    if "fisheye_model" in content:  # of OpenCV's calibration sample: 0 or 1
        named["fisheye_model"] = "fisheye" if content["fisheye_model"] else "plumb_bob"
    told = {key: name for key, name in named.items() if name.lower() not in _NEUTRAL}
    fisheye = [name.lower() in ("fisheye", "equidistant", "equi") for name in told.values()]
    if any(fisheye) and not all(fisheye):
        listed = ", ".join(f"{key}: {name}" for key, name in told.items())
        raise CalibrationError(f"{path} contradicts itself ({listed}): keep one of them")
    return next(iter(told.values()), "plumb_bob")


def _of_kalibr(block: dict[str, Any], path: Path) -> Camera:
    """The camera of kalibr's block `cam0`."""
    fx, fy, cx, cy = _listed(block, "intrinsics", 4, path)
    width, height = (int(n) for n in _listed(block, "resolution", 2, path))
    key = "distortion_coeffs" if "distortion_coeffs" in block else "distortion_coefficients"
    camera = intrinsics((fx, 0, cx, 0, fy, cy, 0, 0, 1), width, height, "intrinsics")
    return with_lens(
        camera, str(block.get("distortion_model", "")), _listed(block, key, None, path)
    )


def _message(content: dict[str, Any], path: Path) -> SimpleNamespace:
    """A printed CameraInfo with the fields of the message."""
    roi = content.get("roi") or {}
    if not isinstance(roi, dict):
        raise CalibrationError(f"{path}: roi must hold keys, not {shown(roi)}")
    window = ("x_offset", "y_offset", "width", "height")
    return SimpleNamespace(
        width=_pixels(content, "width", path),
        height=_pixels(content, "height", path),
        distortion_model=str(content.get("distortion_model") or ""),
        k=_listed(content, "k", 9, path),
        d=_listed(content, "d", None, path),
        r=_listed(content, "r", 9, path),
        p=_listed(content, "p", 12, path),
        binning_x=_count(content, "binning_x", path),
        binning_y=_count(content, "binning_y", path),
        roi=SimpleNamespace(**{name: _count(roi, name, path) for name in window}),
    )


def _matrix(content: dict[str, Any], key: str, path: Path) -> list[float]:
    """The numbers of a {rows, cols, data} block, or of nested lists. Raises CalibrationError."""
    block = content.get(key)
    if block is None:
        raise CalibrationError(f"{path} has no key {key}: {REMEDY}")
    if isinstance(block, list) and block and all(isinstance(row, list) for row in block):
        return [_number(value, key, path) for row in block for value in row]
    data = block.get("data") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(data, list):
        raise CalibrationError(f"{path}: {key} must be {{rows: , cols: , data: [...]}}")
    rows, cols = block.get("rows", 1), block.get("cols", len(data))
    if not isinstance(rows, int) or not isinstance(cols, int) or rows * cols != len(data):
        raise CalibrationError(
            f"{path}: {key} is declared as {rows}x{cols} but has {len(data)} numbers: "
            "correct rows, cols or data"
        )
    return [_number(value, key, path) for value in data]


def _listed(block: dict[str, Any], key: str, count: int | None, path: Path) -> list[float]:
    """A plain list of `count` numbers, any for None. Raises CalibrationError."""
    values = block.get(key)
    if not isinstance(values, list) or (count is not None and len(values) != count):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise CalibrationError(f"{path}: {key} must be a list of {wanted}, not {shown(values)}")
    return [_number(value, key, path) for value in values]


def _number(value: object, key: str, path: Path) -> float:
    """A finite number; YAML 1.1 reads 1e-05 as text. Raises CalibrationError."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CalibrationError(
            f"{path}: {shown(value)} in {key} is not a finite number: correct it"
        )
    return number


def _count(content: dict[str, Any], key: str, path: Path) -> int:
    """A whole number from 0 on, 0 where it is missing. Raises CalibrationError."""
    value = _pixels({key: content.get(key) or 0}, key, path)
    if value < 0:
        raise CalibrationError(f"{path}: {key} must not be negative, it is {value}")
    return value


def _pixels(content: dict[str, Any], key: str, path: Path) -> int:
    """A whole number of pixels. Raises CalibrationError."""
    value = content.get(key)
    if value is None:
        raise CalibrationError(f"{path} has no key {key}: {REMEDY}")
    if not isinstance(value, int) or isinstance(value, bool):
        raise CalibrationError(
            f"{path}: {key} must be a whole number of pixels, not {shown(value)}"
        )
    return value
