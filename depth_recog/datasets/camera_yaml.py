# SPDX-License-Identifier: Apache-2.0
"""ROS camera_info YAML files (camera_calibration writes them, camera_info_manager reads them)."""

from __future__ import annotations

import math
from pathlib import Path

import yaml

from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera

EXAMPLE = (
    "image_width: 640, image_height: 480, camera_matrix: {rows: 3, cols: 3, data: [fx, 0, cx, 0, "
    "fy, cy, 0, 0, 1]}, distortion_model: plumb_bob, distortion_coefficients: {rows: 1, cols: 5, "
    "data: [k1, k2, p1, p2, k3]}"
)
REMEDY = f"write it with the ROS package camera_calibration, or by hand: {EXAMPLE}"


def read_camera_yaml(path: str | Path) -> Camera:
    """Reads the intrinsics of a ROS camera_info YAML.

    Layout (camera_calibration_parsers)::

        image_width: 640
        image_height: 480
        camera_name: front
        camera_matrix: {rows: 3, cols: 3, data: [fx, 0, cx, 0, fy, cy, 0, 0, 1]}
        distortion_model: plumb_bob   # or rational_polynomial, equidistant; plumb_bob if left out
        distortion_coefficients: {rows: 1, cols: 5, data: [k1, k2, p1, p2, k3]}
        rectification_matrix: ...     # ignored: the identity for a single camera
        projection_matrix: ...        # ignored: images are not rectified yet

    Args:
        path: the YAML file.

    Returns:
        The camera. Coefficients that are all zero are dropped, except for `equidistant`.

    Raises:
        CalibrationError: the file is missing or no YAML, a key is missing, a matrix has another
            shape or a value that is no number, or the camera is uncalibrated (all zeros).
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read ({error.strerror}): {REMEDY}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise CalibrationError(f"{path} is not a ROS camera_info YAML: {REMEDY}") from error
    if not isinstance(content, dict):
        raise CalibrationError(f"{path} is not a ROS camera_info YAML: {REMEDY}")
    k = _matrix(content, "camera_matrix", path)
    if len(k) != 9:
        raise CalibrationError(f"{path}: camera_matrix has {len(k)} numbers, 9 are needed")
    if any(k) and (k[1], k[3], *k[6:]) != (0.0, 0.0, 0.0, 0.0, 1.0):
        raise CalibrationError(
            f"{path}: camera_matrix must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], row by row, not {k}"
        )
    model = content.get("distortion_model", "plumb_bob")
    distortion = tuple(_matrix(content, "distortion_coefficients", path))
    # All zeros mean no distortion in the polynomial models; an equidistant lens stays a fisheye.
    if not any(distortion) and model != "equidistant":
        distortion = ()
    try:
        return Camera(
            width=_pixels(content, "image_width", path),
            height=_pixels(content, "image_height", path),
            fx=k[0],
            fy=k[4],
            cx=k[2],
            cy=k[5],
            distortion=distortion,
            distortion_model=str(model),
        )
    except CalibrationError as error:
        raise error if str(path) in str(error) else CalibrationError(f"{path}: {error}") from None


def camera_yamls(folder: Path) -> list[Path]:
    """The folder's YAML files that contain "camera_matrix", sorted; not checked further."""
    files = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    return [f for f in files if f.is_file() and b"camera_matrix" in f.read_bytes()]


def _matrix(content: dict[object, object], key: str, path: Path) -> list[float]:
    """The numbers of a {rows, cols, data} block. Raises CalibrationError."""
    block = content.get(key)
    if block is None:
        raise CalibrationError(f"{path} has no key {key}: {REMEDY}")
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


def _number(value: object, key: str, path: Path) -> float:
    """A finite number; YAML 1.1 reads 1e-05 as text. Raises CalibrationError."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise CalibrationError(f"{path}: {value!r} in {key} is not a finite number: correct it")
    return number


def _pixels(content: dict[object, object], key: str, path: Path) -> int:
    """A whole number of pixels. Raises CalibrationError."""
    value = content.get(key)
    if value is None:
        raise CalibrationError(f"{path} has no key {key}: {REMEDY}")
    if not isinstance(value, int) or isinstance(value, bool):
        raise CalibrationError(f"{path}: {key} must be a whole number of pixels, not {value!r}")
    return value
