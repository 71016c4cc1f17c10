# SPDX-License-Identifier: Apache-2.0
"""KITTI raw data (synced and rectified drives), left colour camera."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import existing_folder, fit_camera, list_images, read_depth
from depth_recog.datasets.kitti.calibration import (
    calib_entry,
    camera_offset,
    read_calib,
    read_projection,
    read_rigid,
    rotation_of,
)
from depth_recog.datasets.kitti.tracklets import TrackletBoxes, read_tracklets
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import frame_number, line_of, read_numbers, read_stamps
from depth_recog.datasets.times import filled
from depth_recog.errors import SourceError
from depth_recog.method.geometry.camera import Camera

EARTH_RADIUS_M = 6378137.0
_LARGEST_OXTS = 89.0, 360.0, 20_000.0, 7.0, 7.0, 7.0
"""Degrees of latitude (Mercator's map ends before the poles) and longitude, metres, radians."""
LAYOUT = "a KITTI raw drive such as 2011_09_26/2011_09_26_drive_0005_sync"


class KittiRaw(ImageReader):
    """One drive of KITTI raw.

    Layout::

        2011_09_26/
          calib_cam_to_cam.txt       S_rect_02 and P_rect_02; R_rect_00 for the poses
          calib_velo_to_cam.txt      R, T; only for the poses and boxes
          calib_imu_to_velo.txt      R, T; only for the poses
          2011_09_26_drive_0005_sync/
            image_02/data/0000000000.png (or .jpg)
            image_02/timestamps.txt  2011-09-26 13:04:32.345808896, taken as UTC
            oxts/data/0000000000.txt                      poses, optional
            proj_depth/groundtruth/image_02/0000000000.png   depth, optional, else
            proj_depth/velodyne_raw/image_02/0000000000.png  depth, optional
            tracklet_labels.xml                           boxes, optional

    The path is the drive, or the date folder if it contains only one drive. Images may be missing:
    line n of timestamps.txt belongs to image n. Truth: depth in metres (uint16 / 256, 0 unknown),
    poses and boxes; the world frame is that of camera 2 at the drive's first OXTS record. Distant
    objects have no box, as boxes were annotated around LiDAR points.
    """

    kind = "kitti_raw"
    rate_hz = 10.0

    def __init__(self, path: str | Path) -> None:
        """Lists the images and reads calibration and timestamps.

        Raises:
            SourceError: the folder, its images or timestamps are missing or damaged.
            CalibrationError: calib_cam_to_cam.txt is missing or damaged.
        """
        self._drive = find_drive(existing_folder(path, LAYOUT))
        self.name = self._drive.name
        self._files = list_images(self._drive / "image_02" / "data")
        if not self._files:
            raise SourceError(
                f"{self._drive / 'image_02' / 'data'} holds no images: unpack the drive again"
            )
        stamps_file = self._drive / "image_02" / "timestamps.txt"
        # Line n is image n's, also where a line is blank.
        stamps = filled(read_stamps(stamps_file), stamps_file)
        self._numbers = [frame_number(file, i) for i, file in enumerate(self._files)]
        self._stamps = [
            stamps[line_of(len(stamps), number, stamps_file, file)]
            for number, file in zip(self._numbers, self._files, strict=True)
        ]
        self._calib_file = self._drive.parent / "calib_cam_to_cam.txt"
        calib = read_calib(self._calib_file)
        width, height = calib_entry(calib, "S_rect_02", 2, self._calib_file)
        self._p2 = read_projection(calib, "P_rect_02", self._calib_file)
        self._calib = calib
        self._camera = Camera.from_matrix(self._p2, round(width), round(height))

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        return fit_camera(self._camera, width, height, self._calib_file, self._files[index])

    def _truth(self, index: int) -> Truth:
        stem = self._files[index].stem
        depth = None
        projected = self._drive / "proj_depth"
        # The depth benchmark's accumulated and filtered LiDAR is denser than a single scan.
        source = "groundtruth" if (projected / "groundtruth").is_dir() else "velodyne_raw"
        depth_file = projected / source / "image_02" / f"{stem}.png"
        if depth_file.is_file():
            depth = read_depth(depth_file, 256.0, self._size)
        pose = self._pose(stem)
        if pose is not None:
            pose = self._world_from_mercator @ pose
        boxes = None
        if self._boxes is not None:
            boxes = self._boxes.at(self._numbers[index], self._camera_at(index, *self._size))
        return Truth(depth=depth, world_from_camera=pose, boxes=boxes)

    @cached_property
    def _boxes(self) -> TrackletBoxes | None:
        """The drive's tracklets, if any; read once, as their speeds need all poses."""
        file = self._drive / "tracklet_labels.xml"
        if not file.is_file():
            return None
        poses = {n: self._pose(f.stem) for n, f in zip(self._numbers, self._files, strict=True)}
        seconds = {
            n: (stamp - self._stamps[0]) / 1e9
            for n, stamp in zip(self._numbers, self._stamps, strict=True)
        }
        return TrackletBoxes(read_tracklets(file), self._camera_from_velo, poses, seconds)

    @cached_property
    def _first_oxts(self) -> Path:
        """The drive's first OXTS record: it defines the map's scale and the world's origin."""
        return min((self._drive / "oxts" / "data").glob("*.txt"))

    @cached_property
    def _scale(self) -> float:
        """Mercator scale at the first record's latitude, as in the KITTI devkit."""
        return float(np.cos(np.deg2rad(_read_oxts(self._first_oxts)[0])))

    @cached_property
    def _world_from_mercator(self) -> NDArray[np.float64]:
        # Mercator coordinates are millions of metres, too large for float32.
        return np.asarray(np.linalg.inv(self._mercator_from_camera(self._first_oxts)))

    @cached_property
    def _camera_from_velo(self) -> NDArray[np.float64]:
        """T_camera_from_velo of rectified camera 2, (4, 4) float64, metres."""
        rectify = np.eye(4)
        rectify[:3, :3] = rotation_of(calib_entry(self._calib, "R_rect_00", 9, self._calib_file))
        camera_from_velo = read_rigid(self._drive.parent / "calib_velo_to_cam.txt")
        return camera_offset(self._p2) @ rectify @ camera_from_velo

    @cached_property
    def imu_from_camera(self) -> NDArray[np.float64]:
        """T_imu_from_camera of rectified camera 2, (4, 4) float64, metres."""
        velo_from_imu = read_rigid(self._drive.parent / "calib_imu_to_velo.txt")
        return np.asarray(np.linalg.inv(self._camera_from_velo @ velo_from_imu))

    def _pose(self, stem: str) -> NDArray[np.float64] | None:
        """Camera 2 in the map (x east, y north, z up), (4, 4) float64, metres; None without."""
        file = self._drive / "oxts" / "data" / f"{stem}.txt"
        return self._mercator_from_camera(file) if file.is_file() else None

    def _mercator_from_camera(self, file: Path) -> NDArray[np.float64]:
        """Map from camera 2, (4, 4) float64, metres (the devkit's convertOxtsToPose.m)."""
        lat, lon, alt, roll, pitch, yaw = _read_oxts(file)[:6]
        mercator_from_imu = np.eye(4)
        mercator_from_imu[:3, 3] = (
            self._scale * EARTH_RADIUS_M * np.deg2rad(lon),
            self._scale * EARTH_RADIUS_M * np.log(np.tan(np.deg2rad(90.0 + lat) / 2.0)),
            alt,
        )
        (cr, cp, cy), (sr, sp, sy) = np.cos((roll, pitch, yaw)), np.sin((roll, pitch, yaw))
        rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        mercator_from_imu[:3, :3] = rz @ ry @ rx
        return mercator_from_imu @ self.imu_from_camera


def find_drive(folder: Path) -> Path:
    """Finds the drive: `folder` itself, or its only sub-folder with image_02/data.

    Raises:
        SourceError: there is none, or several.
    """
    if (folder / "image_02" / "data").is_dir():
        return folder
    drives = sorted(sub for sub in folder.iterdir() if (sub / "image_02" / "data").is_dir())
    if not drives:
        raise SourceError(f"{folder} has no image_02/data: give {LAYOUT}")
    if len(drives) > 1:
        names = ", ".join(drive.name for drive in drives)
        raise SourceError(f"{folder} holds several drives: give one of {names}")
    return drives[0]


def _read_oxts(file: Path) -> NDArray[np.float64]:
    """One OXTS record, at least (6,) float64: degrees, metres, radians. Raises SourceError."""
    record: NDArray[np.float64] = read_numbers(file)[0]
    if record.size < 6:
        raise SourceError(f"{file} is no OXTS record (30 numbers): unpack the drive again")
    if (np.abs(record[:6]) > _LARGEST_OXTS).any():
        raise SourceError(
            f"{file} has no place on a map or an impossible angle: {record[:6]}; unpack the drive "
            "again"
        )
    return record
