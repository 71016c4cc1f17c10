# SPDX-License-Identifier: Apache-2.0
"""Loads the calibration files of the usual tools, and names those that are not read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from depth_recog.documents import parse_yaml
from depth_recog.errors import CalibrationError, DocumentError
from depth_recog.files import read_bytes
from depth_recog.limits import DOCUMENT_BYTES

EXAMPLE = (
    "image_width: 640, image_height: 480, camera_matrix: {rows: 3, cols: 3, data: [fx, 0, cx, 0, "
    "fy, cy, 0, 0, 1]}, distortion_model: plumb_bob, distortion_coefficients: {rows: 1, cols: 5, "
    "data: [k1, k2, p1, p2, k3]}"
)
REMEDY = f"write it with the ROS package camera_calibration, or by hand: {EXAMPLE}"

_OTHERS = (
    (rb"\A#ROSBAG", "a ROS 1 bag"),
    (rb"\A# oST |\A\s*\[image\]", "cameracalibrator's ost.txt; ost.yaml lies beside it"),
    (rb"<opencv_storage", "an OpenCV FileStorage in XML; write it as YAML"),
    (rb"ros__parameters", "a file of ROS parameters"),
    (rb"rosbag2_bagfile_information", "a bag's metadata.yaml"),
    (rb"(?m)^Camera\d?\.(fx|type)", "a settings file of ORB-SLAM"),
    (rb"(?m)^(model_type|projection_parameters) *:", "a calibration of camodocal or VINS"),
    (rb"Calibration results|Camera-system parameters", "kalibr's report; give its camchain.yaml"),
    (rb'"(frames|camera_angle_x)" *:', "a transforms.json of NeRF"),
    (rb"(?m)^# *CAMERA_ID", "a cameras.txt of COLMAP"),
    (rb"(?m)^P_rect_02|^P2:", "a calibration of KITTI"),
)
"""Patterns of files that are not read, and what they are."""

MARKS = (b"camera_matrix", b"distortion_model", b"opencv-matrix", b"intrinsics:")
"""A YAML file with one of these is a calibration; others in a folder are ignored."""


def load(path: Path) -> dict[str, Any]:
    """Loads a calibration file: the first document of a YAML, as `ros2 topic echo` writes several.

    Returns:
        Its keys in lower case, and their values.

    Raises:
        CalibrationError: it cannot be read, or is another kind of file, which is named.
    """
    try:
        data = read_bytes(path, DOCUMENT_BYTES)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read ({error.strerror}): {REMEDY}") from error
    for pattern, kind in _OTHERS:
        if re.search(pattern, data):
            raise CalibrationError(
                f"{path} is {kind}, where a ROS camera_info YAML is needed: {REMEDY}"
            )
    try:
        content = parse_yaml(_first_document(data.decode("utf-8-sig")))
    except (DocumentError, ValueError) as error:
        raise CalibrationError(
            f"{path} is not a ROS camera_info YAML ({error}): {REMEDY}"
        ) from error
    if not isinstance(content, dict):
        raise CalibrationError(f"{path} is not a ROS camera_info YAML: {REMEDY}")
    return {str(key).lower(): value for key, value in content.items()}


def _first_document(text: str) -> str:
    """The first YAML document with content; OpenCV's "%YAML:1.0" is not YAML's own directive."""
    text = re.sub(r"\A\s*%YAML.*\n", "", text)
    documents = re.split(r"(?m)^---.*$|^\.\.\.\s*$", text)
    return next((part for part in documents if part.strip()), "")


def kalibr_camera(content: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """The camera of kalibr's camchain.yaml, or of a sensor.yaml of EuRoC; None for other files.

    Raises:
        CalibrationError: it has several cameras, or one that is no pinhole camera.
    """
    cameras = {k: v for k, v in content.items() if re.fullmatch(r"cam\d+", k)}
    if cameras:
        if len(cameras) > 1:
            raise CalibrationError(
                f"{path} is kalibr's calibration of {len(cameras)} cameras: keep one of "
                f"{', '.join(cameras)}"
            )
        content = next(iter(cameras.values()))
    if not isinstance(content, dict) or not isinstance(content.get("intrinsics"), list):
        return None
    model = str(content.get("camera_model", "pinhole")).lower()
    if model != "pinhole":
        raise CalibrationError(
            f"{path} is kalibr's calibration with camera_model {model}, which is not read: "
            "calibrate with pinhole-equi (fisheye) or pinhole-radtan"
        )
    return content
