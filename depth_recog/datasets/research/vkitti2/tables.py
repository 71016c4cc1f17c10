# SPDX-License-Identifier: Apache-2.0
"""The text files of Virtual KITTI 2: a header of column names, then one row a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import SourceError
from depth_recog.files import read_lines
from depth_recog.limits import DIGITS
from depth_recog.texts import shown

Float = NDArray[np.float64]

REMEDY = "unpack vkitti_2.0.3_textgt again"
_FLAGS = {"True": "1", "False": "0"}
_ROTATION = "r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3"
_KINDS = {"Car": "car", "Van": "car", "Truck": "truck"}


def read_rows(path: Path, columns: str) -> list[list[str]]:
    """Reads some columns of a table, named in the order of the result, separated by spaces.

    Returns:
        One list of strings a row.

    Raises:
        SourceError: the file is missing or damaged, or has no such column.
    """
    try:
        lines = read_lines(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error}): {REMEDY}") from error
    header = lines[0].split() if lines else []
    missing = [name for name in columns.split() if name not in header]
    if missing:
        raise SourceError(f"{path} has no column {', '.join(missing)} in its header: {REMEDY}")
    wanted = [header.index(name) for name in columns.split()]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        row = line.split()
        if len(row) == len(header):
            rows.append([row[i] for i in wanted])
        elif row:
            raise SourceError(
                f"{path}, line {number}: {len(row)} values under {len(header)} columns; {REMEDY}"
            )
    return rows


def read_table(path: Path, columns: str) -> Float:
    """Reads some columns of a table as numbers; True is 1 and False is 0.

    Returns:
        (rows, columns) float64, finite.

    Raises:
        SourceError: as `read_rows`, and for values that are no finite numbers.
    """
    rows = read_rows(path, columns)
    try:
        table = np.array([[float(_FLAGS.get(v, v)) for v in row] for row in rows])
    except ValueError as error:
        raise SourceError(f"{path}: {error}; {REMEDY}") from error
    table = table.reshape(len(rows), len(columns.split()))
    if not np.isfinite(table).all():
        raise SourceError(f"{path} holds numbers that are not finite: {REMEDY}")
    return table


def read_intrinsics(path: Path, camera: int) -> dict[int, Float]:
    """By frame: fx, fy, cx, cy, (4,) float64, pixels. Raises SourceError."""
    table = read_table(path, "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]")
    return {int(row[0]): row[2:] for row in table if row[1] == camera}


def read_extrinsics(path: Path, camera: int) -> dict[int, Float]:
    """By frame: T_camera_from_world, (4, 4) float64, metres.

    Raises:
        SourceError: the file is missing or damaged, or a matrix is no rigid transform.
    """
    extrinsics = {}
    for row in read_table(path, f"frame cameraID {_ROTATION}"):
        if row[1] != camera:
            continue
        transform = np.eye(4)
        transform[:3] = row[2:].reshape(3, 4)
        rotation = transform[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise SourceError(f"{path}, frame {int(row[0])}: r is no rotation; {REMEDY}")
        extrinsics[int(row[0])] = transform
    return extrinsics


def read_kinds(path: Path) -> dict[int, str]:
    """By track: the Cityscapes class, in which vans are cars. Raises SourceError."""
    kinds = {}
    for track, label in read_rows(path, "trackID label"):
        if not track.isdecimal() or len(track) > DIGITS or label not in _KINDS:
            raise SourceError(
                f"{path}: track {shown(track)} is a {shown(label)}, none of {', '.join(_KINDS)}: "
                f"{REMEDY}"
            )
        kinds[int(track)] = _KINDS[label]
    return kinds


def read_colours(path: Path) -> dict[str, tuple[int, int, int]]:
    """The colour (r, g, b) of each category in the class images. Raises SourceError."""
    colours = {}
    for name, *values in read_rows(path, "Category r g b"):
        if not all(v.isdecimal() and len(v) < 4 and int(v) < 256 for v in values):
            raise SourceError(f"{path}: {name} has the colour {' '.join(values)}; {REMEDY}")
        colours[name] = (int(values[0]), int(values[1]), int(values[2]))
    if not colours:
        raise SourceError(f"{path} names no colours: {REMEDY}")
    return colours


def by_frame(path: Path, columns: str, camera: int) -> Mapping[int, dict[int, Float]]:
    """Reads a table of vehicles by frame and track.

    Args:
        path: the file.
        columns: names of the columns, without frame, cameraID and trackID.
        camera: number of the camera.

    Returns:
        By frame and track: the values; an empty dict for frames without rows.

    Raises:
        SourceError: the file is damaged, or a track appears twice in a frame.
    """
    frames: defaultdict[int, dict[int, Float]] = defaultdict(dict)
    for row in read_table(path, f"frame cameraID trackID {columns}"):
        if row[1] != camera:
            continue
        frame, track = int(row[0]), int(row[2])
        if track in frames[frame]:
            raise SourceError(f"{path}: track {track} is twice in frame {frame}; {REMEDY}")
        frames[frame][track] = row[3:]
    return frames
