# SPDX-License-Identifier: Apache-2.0
"""Calibration files of KITTI raw and KITTI odometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import CalibrationError
from depth_recog.files import read_lines

_REMEDY = "copy it from KITTI's calibration download"


def read_calib(path: Path) -> dict[str, NDArray[np.float64]]:
    """Reads a KITTI calibration file: `name: numbers` on each line; other lines are ignored.

    Raises:
        CalibrationError: the file cannot be read.
    """
    try:
        lines = read_lines(path)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path} cannot be read: {_REMEDY}") from error
    entries: dict[str, NDArray[np.float64]] = {}
    for line in lines:
        name, _, values = line.partition(":")
        try:
            entries[name.strip()] = np.array(values.split(), dtype=np.float64)
        except ValueError:
            continue  # a date, or a damaged entry: `calib_entry` reports it as missing
    return entries


def calib_entry(
    calib: dict[str, NDArray[np.float64]], name: str, count: int, path: Path
) -> NDArray[np.float64]:
    """Entry `name` of `count` finite numbers, (count,) float64. Raises CalibrationError."""
    values = calib.get(name)
    if values is None or values.size != count or not np.isfinite(values).all():
        raise CalibrationError(f"{path} has no line '{name}:' with {count} numbers: {_REMEDY}")
    return values


def read_projection(
    calib: dict[str, NDArray[np.float64]], name: str, path: Path
) -> NDArray[np.float64]:
    """Entry `name` as a projection matrix K [I | t], (3, 4) float64. Raises CalibrationError."""
    p = calib_entry(calib, name, 12, path).reshape(3, 4)
    if p[0, 0] <= 0 or p[1, 1] <= 0 or p[2, 2] != 1:
        raise CalibrationError(
            f"{path}: '{name}:' is no projection matrix with positive focal lengths and a last "
            f"row 0 0 1: {_REMEDY}"
        )
    return p


def camera_offset(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """T_camera_from_camera0, (4, 4) float64, metres, of a projection matrix P = K [I | t]."""
    offset: NDArray[np.float64] = np.eye(4)
    offset[:3, 3] = np.linalg.solve(p[:, :3], p[:, 3])
    return offset


def rotation_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation nearest to nine numbers in row-major order, (3, 3) float64.

    The files have seven digits, so their matrices are not exactly orthonormal.
    """
    u, _, vt = np.linalg.svd(values.reshape(3, 3))
    return np.asarray(u @ vt)


def read_rigid(path: Path) -> NDArray[np.float64]:
    """The (4, 4) float64 transform of a calibration file's R and T. Raises CalibrationError."""
    calib = read_calib(path)
    transform: NDArray[np.float64] = np.eye(4)
    transform[:3, :3] = rotation_of(calib_entry(calib, "R", 9, path))
    transform[:3, 3] = calib_entry(calib, "T", 3, path)
    return transform
