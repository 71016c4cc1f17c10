# SPDX-License-Identifier: Apache-2.0
"""The TUM RGB-D benchmark, and recordings in the same layout."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property
from pathlib import Path

from depth_recog.datasets.assumed import AssumedLens, source_camera
from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.image_files import existing_folder, read_depth
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.research.stamped_poses import (
    StampedPoses,
    read_lines,
    read_stamped_poses,
)
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import check_rising, exact_nanoseconds
from depth_recog.datasets.times import check_rate
from depth_recog.errors import SourceError, UncalibratedError
from depth_recog.files import inside
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a sequence of the TUM RGB-D benchmark such as rgbd_dataset_freiburg1_desk"

_CAMERAS = {
    "1": Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": Camera(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}
"""The colour cameras of freiburg1 to 3, from the benchmark's documentation."""

_ASSOCIATION_NS = 20_000_000


class TumRgbd(ImageReader):
    """One sequence of the TUM RGB-D benchmark. Layout-tested.

    Layout-tested: tested with generated files in this layout, not with the data set. Layout::

        rgbd_dataset_freiburg1_desk/
          rgb.txt            `1305031102.175304 rgb/1305031102.175304.png` a line: seconds, image
          depth.txt          the same for depth images: uint16, metres x 5000, 0 unknown; optional
          groundtruth.txt    timestamp tx ty tz qx qy qz qw: camera in the world; optional
          camera.yaml        ROS camera_info; only if the folder's name does not tell the camera

    Without camera.yaml the benchmark's intrinsics are used, by `freiburg1`, `freiburg2` or
    `freiburg3` in the folder's name. The first two have distortion; depth is registered to the
    unrectified colour image. Truth: the depth image nearest in time, at most 20 ms away; the pose
    interpolated at the image's time, None outside of the ground truth and in gaps of more than
    100 ms.
    """

    kind = "tum_rgbd"
    rate_hz = 30.0

    def __init__(self, path: str | Path, assumed: AssumedLens | None = None) -> None:
        """Reads the list of images and the intrinsics.

        Args:
            path: the folder.
            assumed: of the camera, if its calibration is unknown.

        Raises:
            SourceError: the folder or rgb.txt is missing, or rgb.txt is damaged.
            CalibrationError: the camera is unknown, or camera.yaml is damaged.
        """
        self._folder = existing_folder(path, LAYOUT)
        self.name = self._folder.name
        listing = self._folder / "rgb.txt"
        if not listing.is_file():
            raise SourceError(f"{self._folder} has no rgb.txt: give {LAYOUT}")
        self._stamps, self._files = _read_listing(listing)
        if not self._files:
            raise SourceError(f"{listing} names no images: restore it")
        if len({file.stem for file in self._files}) < len(self._files):
            raise SourceError(f"{listing} names an image twice: restore it")
        self._camera = source_camera(self._calibrated, assumed, self._folder)

    def _calibrated(self) -> tuple[Path, Camera]:
        file = self._folder / "camera.yaml"
        if file.is_file():
            return file, read_camera_yaml(file)
        known = re.search(r"freiburg([123])", self.name)
        if known is None:
            raise UncalibratedError(
                f"{self._folder} does not tell its camera by freiburg1, 2 or 3 in its name: write "
                f"{file} ({EXAMPLE}); the benchmark's default for the Kinect is fx = "
                "fy = 525, cx = 319.5, cy = 239.5 without distortion"
            )
        return self._folder, _CAMERAS[known.group(1)]  # selected by the folder's name

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        return self._camera.at(width, height, self._files[index])

    def _truth(self, index: int) -> Truth:
        stamp = self._stamps[index]
        depth = self._depth_file(stamp)
        return Truth(
            depth=read_depth(depth, 5000.0, self._size) if depth else None,
            world_from_camera=self._trajectory.at(stamp) if self._trajectory else None,
        )

    @cached_property
    def _depths(self) -> tuple[list[int], list[Path]]:
        """Stamps and files of the depth images; empty without depth.txt."""
        listing = self._folder / "depth.txt"
        return _read_listing(listing) if listing.is_file() else ([], [])

    @cached_property
    def _trajectory(self) -> StampedPoses | None:
        file = self._folder / "groundtruth.txt"
        return read_stamped_poses(file) if file.is_file() else None

    def _depth_file(self, stamp: int) -> Path | None:
        """The depth image nearest in time, if it is within the limit."""
        stamps, files = self._depths
        after = bisect_left(stamps, stamp)
        near = [i for i in (after - 1, after) if 0 <= i < len(stamps)]
        best = min(near, key=lambda i: abs(stamps[i] - stamp), default=None)
        if best is None or abs(stamps[best] - stamp) > _ASSOCIATION_NS:
            return None
        return files[best]


def _read_listing(path: Path) -> tuple[list[int], list[Path]]:
    """Reads rgb.txt or depth.txt: stamps in nanoseconds, strictly increasing, and files.

    Raises:
        SourceError: the file is damaged, or stamps do not increase.
    """
    stamps, files = [], []
    for number, fields in read_lines(path):
        try:
            stamp, name = fields
            stamps.append(exact_nanoseconds(stamp))
            files.append(inside(path.parent, name))
        except ValueError as error:
            raise SourceError(
                f"{path}, line {number}: a time in seconds and a file's name in this folder are "
                f"needed ({error}); restore the file"
            ) from error
    check_rising(stamps, path)
    check_rate(stamps, path)
    return stamps, files
