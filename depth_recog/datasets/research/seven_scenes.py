# SPDX-License-Identifier: Apache-2.0
"""RGB-D recordings in the layout of Microsoft's 7-Scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_recog.datasets.image_files import (
    camera_of_matrix,
    existing_folder,
    list_images,
    read_depth,
)
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import frame_number, read_numbers
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a 7-Scenes sequence such as redkitchen/seq-01"


class SevenScenes(ImageReader):
    """One sequence of 7-Scenes, or a recording in the same layout.

    Layout::

        redkitchen/
          frame-000000.color.jpg (or .png)
          frame-000000.depth.png   uint16, millimetres; 0 and 65535 unknown; optional
          frame-000000.pose.txt    4x4 camera to world, metres; optional
          camera-intrinsics.txt    3x3 K in pixels, here or in the folder above

    Stamps are the frame number at 30 Hz. Truth: depth and poses; a pose that is not finite
    (tracking lost) is None. In the original data set the depth is not registered to the colour
    image.
    """

    kind = "seven_scenes"
    rate_hz = 30.0

    def __init__(self, path: str | Path) -> None:
        """Lists the images and reads the intrinsics.

        Raises:
            SourceError: the folder or its images are missing.
            CalibrationError: camera-intrinsics.txt is missing or damaged.
        """
        self._folder = existing_folder(path, LAYOUT)
        self.name = self._folder.name
        self._files = [
            file
            for file in list_images(self._folder)
            if file.name.startswith("frame-") and file.stem.endswith(".color")
        ]
        if not self._files:
            raise SourceError(f"{self._folder} holds no frame-*.color.png or .jpg: give {LAYOUT}")
        self._stamps = [
            round(frame_number(file, i) * 1e9 / self.rate_hz) for i, file in enumerate(self._files)
        ]
        here = self._folder / "camera-intrinsics.txt"
        above = self._folder.parent / "camera-intrinsics.txt"
        self._calibration = above if above.is_file() and not here.is_file() else here
        try:
            self._matrix = read_numbers(self._calibration, columns=3)
        except SourceError as error:
            raise CalibrationError(
                f"{error}; write there the colour camera's matrix in three lines: 'fx 0 cx', "
                "'0 fy cy', '0 0 1' (7-Scenes itself: 585 0 320, 0 585 240, 0 0 1)"
            ) from error
        if self._matrix.shape[0] != 3:
            raise CalibrationError(f"{self._calibration}: 3 lines of 3 numbers are needed")

    def _frame_name(self, index: int) -> str:
        return self._files[index].stem.removesuffix(".color")

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        return camera_of_matrix(self._matrix, width, height, self._calibration)

    def _truth(self, index: int) -> Truth:
        stem = self._frame_name(index)
        depth_file = self._folder / f"{stem}.depth.png"
        depth = None
        if depth_file.is_file():
            depth = read_depth(depth_file, 1000.0, self._size, invalid=(0, 65535))
        pose = None
        pose_file = self._folder / f"{stem}.pose.txt"
        if pose_file.is_file():
            pose = read_numbers(pose_file, columns=4, finite=False)
            if pose.shape != (4, 4):
                raise SourceError(f"{pose_file} is not a 4x4 matrix: restore it")
            if not np.isfinite(pose).all():
                pose = None
        return Truth(depth=depth, world_from_camera=pose)
