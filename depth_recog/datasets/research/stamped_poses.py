# SPDX-License-Identifier: Apache-2.0
"""Poses with timestamps, and interpolation between them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog import files
from depth_recog.datasets.side_files import exact_nanoseconds
from depth_recog.errors import SourceError

Float = NDArray[np.float64]

_LONGEST_GAP_NS = 100_000_000


@dataclass(frozen=True)
class StampedPoses:
    """Poses of a camera over time.

    Attributes:
        stamps_ns: N stamps in nanoseconds, not decreasing.
        places: (N, 3) float64, positions in metres.
        quaternions: (N, 4) float64, unit quaternions x y z w.
    """

    stamps_ns: tuple[int, ...]
    places: Float
    quaternions: Float

    def at(self, stamp_ns: int) -> Float | None:
        """The pose at a time: linear interpolation of the position, slerp of the rotation.

        Returns:
            (4, 4) float64; None before the first pose, after the last, and within a gap.
        """
        after = bisect_right(self.stamps_ns, stamp_ns)
        if after and self.stamps_ns[after - 1] == stamp_ns:
            return _matrix(self.places[after - 1], self.quaternions[after - 1])
        if after in (0, len(self.stamps_ns)):
            return None
        start, gap = self.stamps_ns[after - 1], self.stamps_ns[after] - self.stamps_ns[after - 1]
        if gap > _LONGEST_GAP_NS:
            return None
        way = (stamp_ns - start) / gap
        place = (1 - way) * self.places[after - 1] + way * self.places[after]
        return _matrix(place, _slerp(self.quaternions[after - 1], self.quaternions[after], way))


def read_stamped_poses(path: Path) -> StampedPoses:
    """Reads lines of `timestamp tx ty tz qx qy qz qw`, seconds and metres; # begins a comment.

    Raises:
        SourceError: the file is missing, damaged or empty, or stamps decrease.
    """
    stamps, rows = [], []
    for number, fields in read_lines(path):
        try:
            stamps.append(exact_nanoseconds(fields[0]))
            rows.append([float(field) for field in fields[1:]])
        except ValueError as error:
            raise SourceError(f"{path}, line {number}: {error}; restore the file") from error
        if len(fields) != 8:
            raise SourceError(
                f"{path}, line {number}: {len(fields)} values where 8 are needed (timestamp tx ty "
                "tz qx qy qz qw); restore the file"
            )
    if not rows:
        raise SourceError(f"{path} holds no poses: restore it, or delete it to do without")
    if any(later < before for before, later in pairwise(stamps)):
        raise SourceError(f"{path}: time goes back; sort the lines")
    table = np.array(rows, dtype=np.float64)
    lengths = np.linalg.norm(table[:, 3:], axis=1)
    # Unit quaternions written with four decimals have norms off by about 1e-4.
    if not np.isfinite(table).all() or np.abs(lengths - 1).max() > 0.01:
        raise SourceError(
            f"{path} holds a pose that is not finite or whose quaternion has not length 1: "
            "restore it"
        )
    return StampedPoses(tuple(stamps), table[:, :3], table[:, 3:] / lengths[:, None])


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and fields of each line, without empty lines and comments. Raises SourceError."""
    try:
        lines = files.read_lines(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error}): restore it") from error
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return [(number, line.split()) for number, line in numbered if line and line[0] != "#"]


def _slerp(a: Float, b: Float, way: float) -> Float:
    cosine = float(a @ b)
    if cosine < 0:  # q and -q are the same rotation: take the shorter path
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return b if way > 0.5 else a
    return np.asarray((np.sin((1 - way) * angle) * a + np.sin(way * angle) * b) / np.sin(angle))


def _matrix(place: Float, quaternion: Float) -> Float:
    """(4, 4) of a place and a unit quaternion x y z w."""
    x, y, z, w = quaternion
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = place
    return pose
