# SPDX-License-Identifier: Apache-2.0
"""A video file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.image_files import fit_camera
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.files import text_of

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")


class Video:
    """A video that OpenCV can decode.

    Layout::

        drive.mp4       or .avi, .mkv, .mov, .webm, .m4v, .mpg, .mpeg, .ts
        drive.yaml      ROS camera_info YAML of the same stem (or .yml), else
        camera.yaml     one for all videos of the folder

    Stamps count from the video's start: the container's, or index / fps where it has none. Frames
    are read fastest in order; any other index seeks. Videos with a variable frame rate should be
    read in order, as seeking in them can miss by a frame. No truth.
    """

    kind = "video"
    live = False

    def __init__(self, path: str | Path) -> None:
        """Looks at the container and reads the calibration; decodes nothing.

        Args:
            path: the video file.

        Raises:
            SourceError: the file is missing, or OpenCV cannot open it.
            CalibrationError: no YAML, or a damaged one.
        """
        self._file = Path(os.path.abspath(Path(path).expanduser()))
        self.name = self._file.stem
        if not self._file.is_file():
            raise SourceError(f"{self._file} is not a file: give a video such as drive.mp4")
        # The decoder is opened at the first frame: until then this object can be sent to, or
        # inherited by, another process, which an open decoder does not survive.
        self._capture: cv2.VideoCapture | None = None
        probe = self._open()
        fps = probe.get(cv2.CAP_PROP_FPS)
        self._count = round(probe.get(cv2.CAP_PROP_FRAME_COUNT))
        probe.release()
        self.rate_hz = fps if math.isfinite(fps) and fps > 0 else 30.0
        self._calibration = find_calibration(self._file)
        self._camera = read_camera_yaml(self._calibration)
        self._next = 0
        self._last_stamp = -1

    @cached_property
    def _length(self) -> int:
        """Number of frames: as the container says, or counted where it does not say."""
        if self._count > 0:
            return self._count
        counter, count = self._open(), 0
        while counter.grab():
            count += 1
        counter.release()
        return count

    def __len__(self) -> int:
        """Number of frames; some containers only estimate it."""
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order.

        Raises:
            SourceError: the video ends more than a second before the length it claims.
            CalibrationError: the frames have another aspect ratio than the YAML.
        """
        index = 0
        while (frame := self._read(index)) is not None:
            yield frame
            index += 1
        # A container that only estimates its length may be off by some frames; more is damage.
        if index == 0 or index < len(self) - self.rate_hz:
            raise self._cut_off(index)

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`.

        Raises:
            IndexError: beyond the end.
            SourceError: the video is cut off before this frame.
            CalibrationError: the frames have another aspect ratio than the YAML.
        """
        index = range(len(self))[index]
        frame = self._read(index)
        if frame is None:
            raise self._cut_off(index)
        return frame

    def truth(self, index: int) -> Truth:
        """Nothing is known of a video. Raises IndexError beyond the end."""
        range(len(self))[index]
        return Truth()

    def file(self, index: int) -> Path | None:
        """The video's file. Raises IndexError beyond the end."""
        range(len(self))[index]
        return self._file

    def _cut_off(self, index: int) -> SourceError:
        return SourceError(
            f"{self._file} ends at frame {index} of {len(self)}: it is cut off or damaged; copy "
            "it again, or rewrite it with ffmpeg -i IN -c copy OUT"
        )

    def _open(self) -> cv2.VideoCapture:
        """A decoder at the first frame. Raises SourceError."""
        capture = cv2.VideoCapture(text_of(self._file), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise SourceError(
                f"{self._file} is no video that OpenCV can open: check that it is complete, or "
                "convert it with ffmpeg -i IN -c:v libx264 OUT.mp4"
            )
        return capture

    def _read(self, index: int) -> Frame | None:
        """Frame `index`, or None if there is none to decode. Raises CalibrationError."""
        in_order = self._capture is not None and index == self._next
        if self._capture is None or (index == 0 and not in_order):
            # Opening anew is exact in every container; seeking to 0 is not.
            self._capture = self._open()
            self._next, self._last_stamp = 0, -1
        if index != self._next:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        ok, image = self._capture.read()
        if not ok:
            self._capture = None
            return None
        stamp = self._stamp(index, self._capture.get(cv2.CAP_PROP_POS_MSEC))
        if index == self._next:
            stamp = max(stamp, self._last_stamp + 1)
        self._next, self._last_stamp = index + 1, stamp
        return self._frame(index, stamp, np.asarray(image, dtype=np.uint8))

    def _stamp(self, index: int, milliseconds: float) -> int:
        """Nanoseconds since the start; a container without times reports 0 for every frame."""
        if math.isfinite(milliseconds) and milliseconds > 0:
            return round(milliseconds * 1e6)
        return round(index * 1e9 / self.rate_hz)

    def _frame(self, index: int, stamp_ns: int, image: NDArray[np.uint8]) -> Frame:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        height, width = image.shape[:2]
        camera = fit_camera(self._camera, width, height, self._calibration, self._file)
        return Frame(f"{index:010d}", stamp_ns, image, camera)


def find_calibration(video: Path) -> Path:
    """The video's YAML: of the same stem, else the folder's camera.yaml.

    Raises:
        CalibrationError: there is neither.
    """
    for suffix in (".yaml", ".yml"):
        if (own := video.with_suffix(suffix)).is_file():
            return own
    shared = video.parent / "camera.yaml"
    if shared.is_file():
        return shared
    raise CalibrationError(
        f"{video} has no camera calibration: write {video.with_suffix('.yaml')}, a ROS "
        f"camera_info YAML, with the ROS package camera_calibration or by hand: {EXAMPLE}"
    )
