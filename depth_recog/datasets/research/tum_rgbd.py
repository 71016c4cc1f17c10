# SPDX-License-Identifier: Apache-2.0
"""The TUM RGB-D benchmark, and recordings laid out like it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.image_files import (
    existing_folder,
    fit_camera,
    image_size,
    read_depth,
    read_rgb,
)
from depth_recog.datasets.research.stamped_poses import (
    StampedPoses,
    read_lines,
    read_stamped_poses,
    seconds_to_ns,
)
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.side_files import check_rising
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a sequence of the TUM RGB-D benchmark such as rgbd_dataset_freiburg1_desk"

_CAMERAS = {
    "1": Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": Camera(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}
"""The colour cameras of freiburg1 to 3 as the benchmark's documentation gives them."""

_ASSOCIATION_NS = 20_000_000


class TumRgbd:
    """One sequence of the TUM RGB-D benchmark. Layout-tested.

    Layout-tested: read from files that the tests write in this layout; the data set itself was not
    at hand. Layout::

        rgbd_dataset_freiburg1_desk/
          rgb.txt            `1305031102.175304 rgb/1305031102.175304.png` a line: seconds, image
          depth.txt          the same of depth images: uint16, metres x 5000, 0 unknown; if there
          groundtruth.txt    timestamp tx ty tz qx qy qz qw: camera in the world; if there
          camera.yaml        ROS camera_info; only where the folder's name does not tell the camera

    Without camera.yaml the intrinsics are the benchmark's own, by `freiburg1`, `freiburg2` or
    `freiburg3` in the folder's name; the first two have distortion, and depth belongs to the image
    as it is, not to the rectified one. Truth: depth, of the depth image nearest in time, at most
    20 ms away (it is registered to the colour image); the pose at the image's time, interpolated,
    None outside the ground truth and in gaps of more than 100 ms.
    """

    kind = "tum_rgbd"
    rate_hz = 30.0
    live = False

    def __init__(self, path: str | Path) -> None:
        """Reads the list of images and the intrinsics.

        Args:
            path: the folder.

        Raises:
            SourceError: the folder or rgb.txt is missing, or rgb.txt is damaged.
            CalibrationError: the camera is not known, or camera.yaml is damaged.
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
        self._calibration = self._folder / "camera.yaml"
        if self._calibration.is_file():
            self._camera = read_camera_yaml(self._calibration)
            return
        known = re.search(r"freiburg([123])", self.name)
        if known is None:
            raise CalibrationError(
                f"{self._folder} does not tell its camera by freiburg1, 2 or 3 in its name: write "
                f"{self._calibration} ({EXAMPLE}); the benchmark's default for the Kinect is fx = "
                "fy = 525, cx = 319.5, cy = 239.5 without distortion"
            )
        self._calibration = self._folder  # its name is the calibration
        self._camera = _CAMERAS[known.group(1)]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._files)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order. Raises SourceError or CalibrationError as `__getitem__`."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`.

        Raises:
            IndexError: beyond the end.
            SourceError: the image is missing or damaged.
            CalibrationError: the image has another aspect ratio than the calibration.
        """
        file = self._files[index]
        image = read_rgb(file)
        camera = fit_camera(self._camera, image.shape[1], image.shape[0], self._calibration, file)
        return Frame(file.stem, self._stamps[index], image, camera)

    def truth(self, index: int) -> Truth:
        """Depth and pose of frame `index`, each None where there is none near enough in time.

        Raises:
            IndexError: beyond the end.
            SourceError: depth.txt, a depth image or groundtruth.txt is damaged.
        """
        stamp = self._stamps[index]
        depth = self._depth_file(stamp)
        return Truth(
            depth=read_depth(depth, 5000.0, self._size) if depth else None,
            world_from_camera=self._trajectory.at(stamp) if self._trajectory else None,
        )

    def file(self, index: int) -> Path | None:
        """The image's file. Raises IndexError beyond the end."""
        return self._files[index]

    @cached_property
    def _size(self) -> tuple[int, int]:
        """(width, height) of the images: all of a sequence have one."""
        return image_size(self._files[0])

    @cached_property
    def _depths(self) -> tuple[list[int], list[Path]]:
        """Stamps and files of the depth images, none without depth.txt."""
        listing = self._folder / "depth.txt"
        return _read_listing(listing) if listing.is_file() else ([], [])

    @cached_property
    def _trajectory(self) -> StampedPoses | None:
        file = self._folder / "groundtruth.txt"
        return read_stamped_poses(file) if file.is_file() else None

    def _depth_file(self, stamp: int) -> Path | None:
        """The depth image nearest in time, if it is near enough."""
        stamps, files = self._depths
        after = bisect_left(stamps, stamp)
        near = [i for i in (after - 1, after) if 0 <= i < len(stamps)]
        best = min(near, key=lambda i: abs(stamps[i] - stamp), default=None)
        if best is None or abs(stamps[best] - stamp) > _ASSOCIATION_NS:
            return None
        return files[best]


def _read_listing(path: Path) -> tuple[list[int], list[Path]]:
    """Stamps in nanoseconds, strictly rising, and files of rgb.txt or depth.txt.

    Raises:
        SourceError: the file is damaged, or time does not go on.
    """
    stamps, files = [], []
    for number, fields in read_lines(path):
        try:
            stamp, name = fields
            stamps.append(seconds_to_ns(stamp))
        except ValueError as error:
            raise SourceError(
                f"{path}, line {number}: a time in seconds and a file's name are needed; restore "
                "the file"
            ) from error
        files.append(path.parent / name)
    check_rising(stamps, path)
    return stamps, files
