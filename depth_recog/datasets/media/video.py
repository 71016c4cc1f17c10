# SPDX-License-Identifier: Apache-2.0
"""Video files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.image_files import fit_camera
from depth_recog.datasets.reader import RecordingReader, Refused
from depth_recog.datasets.sequence import Frame
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.files import text_of

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")


class Video(RecordingReader):
    """A video that OpenCV can decode.

    Layout::

        drive.mp4       or .avi, .mkv, .mov, .webm, .m4v, .mpg, .mpeg, .ts
        drive.yaml      ROS camera_info YAML of the same stem (or .yml), else
        camera.yaml     for all videos of the folder

    Stamps are relative to the video's start: those of the container, else index / fps. Reading in
    order is fastest; another index seeks, which can miss by a frame in videos with a variable frame
    rate. No ground truth.
    """

    kind = "video"

    def __init__(self, path: str | Path) -> None:
        """Reads the container's header and the calibration; decodes no frame.

        Raises:
            SourceError: the file is missing, or OpenCV cannot open it.
            CalibrationError: no YAML, or a damaged one.
        """
        self._path = Path(os.path.abspath(Path(path).expanduser()))
        self.name = self._path.stem
        if not self._path.is_file():
            raise SourceError(f"{self._path} is not a file: give a video such as drive.mp4")
        # The decoder is opened at the first frame, as an open decoder cannot be pickled or forked.
        self._capture: cv2.VideoCapture | None = None
        probe = self._open()
        fps = probe.get(cv2.CAP_PROP_FPS)
        self._count = round(probe.get(cv2.CAP_PROP_FRAME_COUNT))
        probe.release()
        self.rate_hz = fps if math.isfinite(fps) and fps > 0 else 30.0
        self._calibration = find_calibration(self._path)
        self._camera = read_camera_yaml(self._calibration)
        self._next = 0
        self._last_stamp = -1

    def __len__(self) -> int:
        """Number of frames by the container, which may be an estimate; counted without one."""
        if self._count <= 0:
            counter, self._count = self._open(), 0
            while counter.grab():
                self._count += 1
            counter.release()
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order.

        Raises:
            SourceError: the video ends more than a second before its stated length.
            CalibrationError: the frames have another aspect ratio than the YAML.
        """
        index = 0
        while (frame := self._read(index)) is not None:
            yield frame
            index += 1
        # An estimated length may be off by some frames; a larger difference is damage.
        if index == 0 or index < len(self) - self.rate_hz:
            raise self._cut_off(index)

    def numbered(self, refused: Refused | None = None) -> Iterator[tuple[int, Frame]]:
        """Frames in order, by the decoder, which itself conceals damaged frames."""
        return enumerate(self)

    def _frame(self, index: int) -> Frame:
        frame = self._read(index)
        if frame is None:
            raise self._cut_off(index)
        return frame

    def _file(self, index: int) -> Path | None:
        return self._path

    def _cut_off(self, index: int) -> SourceError:
        return SourceError(
            f"{self._path} ends at frame {index} of {len(self)}: it is cut off or damaged; copy "
            "it again, or rewrite it with ffmpeg -i IN -c copy OUT"
        )

    def _open(self) -> cv2.VideoCapture:
        """A decoder at the first frame. Raises SourceError."""
        capture = cv2.VideoCapture(text_of(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise SourceError(
                f"{self._path} is no video that OpenCV can open: check that it is complete, or "
                "convert it with ffmpeg -i IN -c:v libx264 OUT.mp4"
            )
        return capture

    def _read(self, index: int) -> Frame | None:
        """Frame `index`; None if it cannot be decoded. Raises CalibrationError."""
        in_order = self._capture is not None and index == self._next
        if self._capture is None or (index == 0 and not in_order):
            # Seeking to frame 0 is not exact in every container; opening again is.
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
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        height, width = rgb.shape[:2]
        camera = fit_camera(self._camera, width, height, self._calibration, self._path)
        return Frame(f"{index:010d}", stamp, np.asarray(rgb, dtype=np.uint8), camera)

    def _stamp(self, index: int, milliseconds: float) -> int:
        """Nanoseconds since the start; containers without times report 0 for every frame."""
        if math.isfinite(milliseconds) and milliseconds > 0:
            return round(milliseconds * 1e6)
        return round(index * 1e9 / self.rate_hz)


def find_calibration(video: Path) -> Path:
    """Finds the video's YAML: of the same stem, else the folder's camera.yaml.

    Raises:
        CalibrationError: there is neither.
    """
    for name in (f"{video.stem}.yaml", f"{video.stem}.yml", "camera.yaml"):
        if (file := video.parent / name).is_file():
            return file
    raise CalibrationError(
        f"{video} has no camera calibration: write {video.with_suffix('.yaml')}, a ROS "
        f"camera_info YAML, with the ROS package camera_calibration or by hand: {EXAMPLE}"
    )
