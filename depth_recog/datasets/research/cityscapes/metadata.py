# SPDX-License-Identifier: Apache-2.0
"""The JSON files of Cityscapes: camera calibration and vehicle odometry.

The vehicle's frame follows ISO 8855: x forward, y left, z up. Formulas and units are from the data
set's csCalibration.pdf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.documents import read_json
from depth_recog.errors import CalibrationError, DepthRecogError, DocumentError, SourceError
from depth_recog.method.geometry.camera import Camera
from depth_recog.texts import shown

Float = NDArray[np.float64]

_REMEDY = "unpack it again"

FULL_SIZE = (2048, 1024)
"""(width, height) in pixels to which intrinsics and disparities refer."""

# From the optical frame (x right, y down, z forward) to x forward, y left, z up.
_ISO_FROM_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class CityscapesCalibration:
    """The content of a camera.json.

    Attributes:
        camera: intrinsics at FULL_SIZE; principal points are relative to pixel centres.
        baseline: distance to the right camera, metres.
        T_vehicle_from_camera: extrinsics of the optical frame, (4, 4) float64, metres.
    """

    camera: Camera
    baseline: float
    T_vehicle_from_camera: Float


def read_calibration(path: Path) -> CityscapesCalibration:
    """Reads a camera.json. Raises CalibrationError if it is missing or damaged."""
    fx, fy, u0, v0 = _numbers(path, "fx fy u0 v0", CalibrationError, "intrinsic")
    extrinsic = _numbers(path, "baseline x y z yaw pitch roll", CalibrationError, "extrinsic")
    baseline, x, y, z, yaw, pitch, roll = extrinsic
    if baseline <= 0:
        raise CalibrationError(f"{path}: the baseline is {baseline}, not positive; {_REMEDY}")
    try:
        camera = Camera(*FULL_SIZE, fx, fy, u0, v0)
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error
    (cy, cp, cr), (sy, sp, sr) = np.cos((yaw, pitch, roll)), np.sin((yaw, pitch, roll))
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    transform = np.eye(4)
    transform[:3, :3] = rz @ ry @ rx @ _ISO_FROM_OPTICAL
    transform[:3, 3] = x, y, z
    return CityscapesCalibration(camera, baseline, transform)


def read_motion(path: Path) -> tuple[float, float]:
    """Reads speed, m/s, and yaw rate, rad/s, positive to the left. Raises SourceError."""
    speed, yaw_rate = _numbers(path, "speed yawRate", SourceError)
    return speed, yaw_rate


def dead_reckoning(motions: Items[tuple[float, float]], seconds: Items[float]) -> list[Float]:
    """Integrates speed and yaw rate to poses (dead reckoning).

    Args:
        motions: speed and yaw rate at each time.
        seconds: the times.

    Returns:
        T_start_from_vehicle at each time, (4, 4) float64, metres, on a plane.
    """
    x = y = heading = 0.0
    poses = [np.eye(4)]
    for ((v0, w0), (v1, w1)), (t0, t1) in zip(pairwise(motions), pairwise(seconds), strict=True):
        turn, way = (w0 + w1) / 2 * (t1 - t0), (v0 + v1) / 2 * (t1 - t0)
        x += way * np.cos(heading + turn / 2)
        y += way * np.sin(heading + turn / 2)
        heading += turn
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]]
        pose[:2, 3] = x, y
        poses.append(pose)
    return poses


def _numbers(
    path: Path, names: str, error_kind: type[DepthRecogError], block: str | None = None
) -> list[float]:
    """Reads numbers of a JSON object, or of its member `block`. Raises `error_kind`."""
    try:
        content = read_json(path)
    except (OSError, DocumentError) as error:
        raise error_kind(f"{path} is missing or no JSON ({error}): {_REMEDY}") from error
    if block is not None and isinstance(content, dict):
        content = content.get(block)
    values = []
    for name in names.split():
        value = content.get(name) if isinstance(content, dict) else None
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            place = f"{block}.{name}" if block else name
            raise error_kind(f"{path}: {place} is {shown(value)}, no finite number; {_REMEDY}")
        values.append(number)
    return values
