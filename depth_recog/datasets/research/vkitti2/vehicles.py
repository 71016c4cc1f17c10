# SPDX-License-Identifier: Apache-2.0
"""The vehicles of Virtual KITTI 2: their motion and their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.research.vkitti2.tables import REMEDY, by_frame, read_kinds
from depth_recog.errors import SourceError

Float = NDArray[np.float64]

_POSE = (
    "width height length world_space_X world_space_Y world_space_Z "
    "rotation_world_space_y rotation_world_space_x rotation_world_space_z "
    "camera_space_X camera_space_Y camera_space_Z"
)
_HALF_SECOND = 5  # frames
_TOLERANCE_M = 0.5

# In the vehicle's frame x points to the front, y down, z to the left; in the box's frame z is up.
_VEHICLE_FROM_BOX = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def read_motion(bbox: Path, camera: int) -> dict[int, dict[int, tuple[bool, bool]]]:
    """By frame and track of bbox.txt: whether it moves, and whether the image border cuts it.

    Raises:
        SourceError: the file is damaged.
    """
    frames = by_frame(bbox, "isMoving truncation_ratio", camera)
    return {
        frame: {track: (bool(row[0]), bool(row[1] > 0)) for track, row in tracks.items()}
        for frame, tracks in frames.items()
    }


class VehicleBoxes:
    """The boxes of the vehicles, by frame.

    Args:
        pose: pose.txt: sizes, and positions of the centre of a box's bottom face.
        info: info.txt: the type of each track.
        motion: from `read_motion`.
        camera: number of the camera.

    Raises:
        SourceError: a file is damaged, or they contradict each other.
    """

    def __init__(
        self, pose: Path, info: Path, motion: dict[int, dict[int, tuple[bool, bool]]], camera: int
    ) -> None:
        self._pose, self._motion = pose, motion
        self._rows = by_frame(pose, _POSE, camera)
        self._kinds = read_kinds(info)
        for frame, rows in self._rows.items():
            unknown = set(rows) - set(motion.get(frame, ()))
            unknown |= set(rows) - set(self._kinds)
            if unknown:
                raise SourceError(
                    f"{pose}, frame {frame}: track {min(unknown)} is not in bbox.txt or not in "
                    f"{info.name}: the files do not belong together; {REMEDY}"
                )

    def at(self, frame: int, T_camera_from_world: Float) -> tuple[Box, ...]:
        """The boxes of the frame of this number; T_camera_from_world is (4, 4), in metres.

        Raises:
            SourceError: a vehicle's positions in the world and in the camera's frame disagree.
        """
        boxes = []
        for track, row in self._rows.get(frame, {}).items():
            width, height, length = row[:3]
            T_world_from_vehicle = np.eye(4)
            T_world_from_vehicle[:3, :3] = _rotation(*row[6:9])
            T_world_from_vehicle[:3, 3] = row[3:6]
            T_camera_from_vehicle = T_camera_from_world @ T_world_from_vehicle
            if np.abs(T_camera_from_vehicle[:3, 3] - row[9:12]).max() > _TOLERANCE_M:
                raise SourceError(
                    f"{self._pose}, frame {frame}: track {track} is at {row[9:12]} in the camera's "
                    f"frame, but extrinsic.txt takes its place in the world to "
                    f"{T_camera_from_vehicle[:3, 3].round(2)}: the files do not belong together; "
                    f"{REMEDY}"
                )
            T_vehicle_from_box = np.eye(4)
            T_vehicle_from_box[:3, :3] = _VEHICLE_FROM_BOX
            T_vehicle_from_box[1, 3] = -height / 2
            box = Box(
                track=str(track),
                kind=self._kinds[track],
                T_camera_from_box=T_camera_from_vehicle @ T_vehicle_from_box,
                size=(float(length), float(width), float(height)),
                speed=self._speed(track, frame),
                truncated=self._motion[frame][track][1],
            )
            boxes.append(box)
        return tuple(boxes)

    def _speed(self, track: int, frame: int) -> float:
        """Horizontal displacement over the second around `frame`, metres per second."""
        window = range(frame - _HALF_SECOND, frame + _HALF_SECOND + 1)
        seen = [n for n in window if track in self._rows.get(n, {})]
        if len(seen) < 2:
            return float("nan")
        first, last = (self._rows[n][track][3:6] for n in (seen[0], seen[-1]))
        way = np.hypot(last[0] - first[0], last[2] - first[2])
        return float(way * 10.0 / (seen[-1] - seen[0]))


def _rotation(y: float, x: float, z: float) -> Float:
    """Ry Rx Rz as in KITTI: at y = 0 the front points along the x axis."""
    (cx, cy, cz), (sx, sy, sz) = np.cos((x, y, z)), np.sin((x, y, z))
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(ry @ rx @ rz)
