# SPDX-License-Identifier: Apache-2.0
"""KITTI odometry sequences, left colour camera."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import camera_of_matrix, existing_folder, list_images
from depth_recog.datasets.kitti.calibration import camera_offset, read_calib, read_projection
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import frame_number, line_of, read_numbers, read_seconds
from depth_recog.datasets.times import filled
from depth_recog.errors import SourceError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a KITTI odometry sequence such as sequences/00"


class KittiOdometry(ImageReader):
    """One sequence of the KITTI odometry benchmark.

    Layout::

        sequences/00/
          image_2/000000.png (or .jpg)
          calib.txt                  P2, for the images at the size they have here
          times.txt                  seconds, one a line, optional; 10 Hz without
        poses/00.txt                 world from camera 0, 12 numbers a line, optional

    Images may be missing: line n of times and poses belongs to image n. If the images were resized,
    calib.txt must have been scaled with them; an obvious mismatch is an error. Truth: poses of
    camera 2; the world frame is that of camera 0 at the sequence's start.
    """

    kind = "kitti_odometry"
    rate_hz = 10.0

    def __init__(self, path: str | Path) -> None:
        """Lists the images and reads calibration and times.

        Raises:
            SourceError: the folder or its images are missing, or times.txt is damaged.
            CalibrationError: calib.txt is missing or damaged.
        """
        self._folder = existing_folder(path, LAYOUT)
        self.name = self._folder.name
        images = self._folder / "image_2"
        self._files = list_images(images) if images.is_dir() else []
        if not self._files:
            raise SourceError(f"{images} holds no images: give {LAYOUT}, with the colour images")
        self._numbers = [frame_number(file, i) for i, file in enumerate(self._files)]
        self._calib_file = self._folder / "calib.txt"
        calib = read_calib(self._calib_file)
        self._p2 = read_projection(calib, "P2", self._calib_file)
        self._stamps = self._read_stamps()

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        return camera_of_matrix(self._p2, width, height, self._calib_file)

    def _truth(self, index: int) -> Truth:
        number = self._numbers[index]
        if self._poses is None:
            return Truth()
        line = line_of(len(self._poses), number, self._poses_file, self._files[index])
        world_from_camera0 = np.eye(4)
        world_from_camera0[:3] = self._poses[line].reshape(3, 4)
        return Truth(world_from_camera=world_from_camera0 @ np.linalg.inv(camera_offset(self._p2)))

    @property
    def _poses_file(self) -> Path:
        return self._folder.parent.parent / "poses" / f"{self._folder.name}.txt"

    @cached_property
    def _poses(self) -> NDArray[np.float64] | None:
        """(frames, 12) float64, world from camera 0, row-major 3x4, metres."""
        if not self._poses_file.is_file():
            return None
        return read_numbers(self._poses_file, columns=12, in_place=True)

    def _read_stamps(self) -> list[int]:
        """Nanoseconds since the sequence's start. Raises SourceError."""
        times_file = self._folder / "times.txt"
        if not times_file.is_file():
            return [round(number * 1e9 / self.rate_hz) for number in self._numbers]
        times = filled(read_seconds(times_file), times_file)
        return [
            times[line_of(len(times), number, times_file, file)]
            for number, file in zip(self._numbers, self._files, strict=True)
        ]
