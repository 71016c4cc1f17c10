# SPDX-License-Identifier: Apache-2.0
"""How far the robot moved in a recording: from a topic of its bag, or from a file beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.reader import RecordingReader
from depth_recog.datasets.research.stamped_poses import read_stamped_poses
from depth_recog.datasets.sequence import Sequence
from depth_recog.datasets.side_files import read_numbers
from depth_recog.errors import SourceError
from depth_recog.files import read_lines
from depth_recog.interfaces.robot_motion import RobotMotion
from depth_recog.method.scale.motion import OdometryBuffer

FORMATS = (
    "a topic of the bag, or a file: lines of 'timestamp tx ty tz qx qy qz qw', KITTI poses (12 "
    "numbers a line, a line a frame), or a CSV with a header: seconds in t, t_s, time or stamp, "
    "and x, y, z (m) or a name with speed (m/s)"
)
_TIMES = ("t", "t_s", "time", "stamp", "timestamp", "seconds")
_ROWS = 12
_LATEST_S = 2**63 / 1e9


def read_motion(text: str, sequence: Sequence) -> OdometryBuffer:
    """Read the robot's positions over a recording.

    Args:
        text: a topic or a file, see `FORMATS`.
        sequence: the recording.

    Raises:
        SourceError: there is no such topic or file, or it cannot be read.
    """
    buffer = OdometryBuffer(kept=None)
    path = Path(text).expanduser()
    if path.is_file():
        _read_file(path, sequence, buffer)
    elif hasattr(sequence, "messages_of"):
        motion = RobotMotion(buffer)
        for stamp, message in sequence.messages_of(text):
            motion.add(stamp, message)
        if not motion.count:
            raise SourceError(f"{sequence.name}: {text} has no message that can be read")
    else:
        raise SourceError(f"{text} is no file, and {sequence.name} no bag with topics: {FORMATS}")
    return buffer


def _read_file(path: Path, sequence: Sequence, buffer: OdometryBuffer) -> None:
    if path.suffix.lower() == ".csv":
        _read_csv(path, buffer)
        return
    try:
        rows = read_numbers(path)
    except SourceError:
        rows = np.zeros((0, 0))  # with comments, as TUM's
    if rows.shape[1:] == (_ROWS,):
        if not isinstance(sequence, RecordingReader) or len(rows) < len(sequence):
            raise SourceError(f"{path}: {len(rows)} lines, one is needed for each frame")
        for index in range(len(sequence)):
            buffer.add(sequence.stamp_ns(index), rows[index].reshape(3, 4)[:, 3])
        return
    poses = read_stamped_poses(path)
    for stamp, place in zip(poses.stamps_ns, poses.places, strict=True):
        buffer.add(stamp, place)


def _read_csv(path: Path, buffer: OdometryBuffer) -> None:
    try:
        # What a row has beyond the header gets a name as well.
        read = csv.DictReader(read_lines(path, "utf-8-sig"), restkey="")
        table = [{name.strip(): value for name, value in row.items()} for row in read]
        names = list(table[0]) if table else []
        times = next(name for name in names if name.lower() in _TIMES)
        speed = next((name for name in names if "speed" in name.lower()), None)
        columns = [times, speed] if speed else [times, "x", "y", "z"]
        rows: NDArray[np.float64] = np.array([[float(row[c]) for c in columns] for row in table])
    except StopIteration:
        raise SourceError(f"{path} has no column with times: {FORMATS}") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read ({error}): {FORMATS}") from error
    if not (np.abs(rows[:, 0]) < _LATEST_S).all():  # nor is NaN
        raise SourceError(f"{path} has a time that no clock shows: delete its line")
    for row in rows:
        stamp = round(float(row[0]) * 1e9)
        if speed:
            buffer.add_speed(stamp, float(row[1]))
        else:
            buffer.add(stamp, row[1:])
