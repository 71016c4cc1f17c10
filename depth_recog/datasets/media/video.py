# SPDX-License-Identifier: Apache-2.0
"""Video files."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from depth_recog.datasets.assumed import AssumedLens, source_camera
from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.media.containers import (
    check_file,
    has_box,
    is_matroska,
    matroska_is_cut_off,
)
from depth_recog.datasets.orientation import ROTATIONS, UPRIGHT, warn_turned
from depth_recog.datasets.reader import RecordingReader, Refused
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.times import FASTEST_HZ
from depth_recog.errors import SourceError, UncalibratedError
from depth_recog.files import text_of, user_path
from depth_recog.limits import IMAGE_PIXELS, LINES
from depth_recog.method.geometry.camera import Camera

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts"),
    *(".3gp", ".mts", ".m2ts", ".wmv", ".flv", ".h264", ".h265", ".mjpeg"),
)
_OPTIONS = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 8000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 8000]
_PROBED = 16
"""Frames at the start whose times give the rate."""
_RATE_DIFFERS = 1.2
_DEFAULT_HZ = 30.0


class Video(RecordingReader):
    """A video that OpenCV can decode.

    Layout::

        drive.mp4       or another of `VIDEO_SUFFIXES`
        drive.yaml      ROS camera_info YAML of the same stem (or .yml), else
        camera.yaml     for all videos of the folder

    Stamps are relative to the first frame: the container's times, else index / rate. Its rate and
    number of frames are hints only: the rate is that of the first frames' times, and `len` and
    access out of order decode the video once to count its frames. Frames are turned upright as the
    container says, and a calibration of the stored size with them. No ground truth.
    """

    kind = "video"

    def __init__(self, path: str | Path, assumed: AssumedLens | None = None) -> None:
        """Reads the container's header, the first frames' times and the calibration.

        Args:
            path: the file.
            assumed: of the camera, if there is no calibration.

        Raises:
            SourceError: the file is missing, or OpenCV cannot open it.
            CalibrationError: no YAML and nothing assumed, or a damaged one.
        """
        self._path = Path(os.path.abspath(user_path(path)))
        self.name = self._path.stem
        if not self._path.is_file():
            raise SourceError(f"{self._path} is not a file: give a video such as drive.mp4")
        # The decoder is opened at the first frame, as an open decoder cannot be pickled or forked.
        self._capture: cv2.VideoCapture | None = None
        self._clock = _Clock(_DEFAULT_HZ)
        self._next = 0
        self._times: list[int] | None = None
        self._probe()
        self._camera = source_camera(self._calibrated, assumed, self._path)

    @property
    def expected_length(self) -> int:
        """Number of frames as the container states it; 0 if it does not."""
        return self._stated

    def __len__(self) -> int:
        """Number of frames; the first call decodes the video."""
        return len(self._all_times())

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order.

        Raises:
            SourceError: the video is cut off, or ends more than a second before its stated end.
            CalibrationError: the frames have another aspect ratio than the YAML.
        """
        index, stamp = 0, 0
        while (frame := self._read(index)) is not None:
            yield frame
            index, stamp = index + 1, frame.stamp_ns
        # The number of frames may be an estimate, of frames that were never recorded.
        stated_s = self._stated / self._stated_hz
        missing = index < self._stated - self._stated_hz and stamp / 1e9 < stated_s - 1
        if is_matroska(self._path):
            # It states the time of its end, which begins before its first frame.
            missing = matroska_is_cut_off(self._path)
        if index == 0 or missing:
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
            f"{self._path} ends at frame {index} of {max(self._stated, index + 1)}: it is cut off "
            "or damaged; copy it again, or rewrite it with ffmpeg -i IN -c copy OUT"
        )

    def _calibrated(self) -> tuple[Path, Camera]:
        file = find_calibration(self._path)
        return file, read_camera_yaml(file)

    def _open(self) -> cv2.VideoCapture:
        """A decoder at the first frame, which turns frames upright. Raises SourceError."""
        check_file(self._path)
        capture = cv2.VideoCapture(text_of(self._path), cv2.CAP_FFMPEG, _OPTIONS)
        if not capture.isOpened():
            raise SourceError(f"{self._path} is no video that OpenCV can open: {self._why()}")
        size = [capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if not 0 <= size[0] * size[1] <= IMAGE_PIXELS:
            raise SourceError(
                f"{self._path} has {size[0]:.0f}x{size[1]:.0f} pixels, more than {IMAGE_PIXELS}: "
                "make it smaller with ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    def _why(self) -> str:
        """What to do with a file that cannot be opened."""
        with self._path.open("rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp" and not has_box(self._path, b"moov"):
            return (
                "its index (moov) is missing, as the recording was cut off: repair it, for "
                "instance with untrunc and a good video of the same camera"
            )
        return "check that it is complete, or convert it with ffmpeg -i IN -c:v libx264 OUT.mp4"

    def _probe(self) -> None:
        """Sets what the header and the first frames tell."""
        probe = self._open()
        stated = probe.get(cv2.CAP_PROP_FPS)
        count = probe.get(cv2.CAP_PROP_FRAME_COUNT)
        turn = probe.get(cv2.CAP_PROP_ORIENTATION_META)
        times: list[float] = []
        while len(times) < _PROBED and probe.grab():
            times.append(probe.get(cv2.CAP_PROP_POS_MSEC))
        probe.release()
        self._stated = round(count) if 0 < count < 2**40 else 0
        self._stated_hz = stated if 0 < stated <= FASTEST_HZ else _DEFAULT_HZ
        self._orientation = ROTATIONS.get(round(turn) % 360, UPRIGHT)
        if self._orientation != UPRIGHT:
            warn_turned(self._path, f"rotation {round(turn) % 360}")
        self.rate_hz = self._rate(times)

    def _rate(self, times: list[float]) -> float:
        """The rate by the first frames' times in milliseconds, else as stated, Hz."""
        gaps = [after - before for before, after in pairwise(times)]
        gap = median(gaps) if gaps else 0.0
        if not gap > 1e3 / FASTEST_HZ:
            return self._stated_hz
        rate = 1e3 / gap
        if max(rate / self._stated_hz, self._stated_hz / rate) < _RATE_DIFFERS:
            return self._stated_hz
        logging.getLogger(__name__).warning(
            "%s states %g frames a second, its times %.3g: the times are used",
            self._path,
            self._stated_hz,
            rate,
        )
        return rate

    def _all_times(self) -> list[int]:
        """Stamps of all frames; decodes the video once."""
        if self._times is None:
            counter, clock = self._open(), _Clock(self.rate_hz)
            times: list[int] = []
            while len(times) < LINES and counter.grab():
                times.append(clock.stamp(counter.get(cv2.CAP_PROP_POS_MSEC)))
            counter.release()
            self._times = times
        return self._times

    def _read(self, index: int) -> Frame | None:
        """Frame `index`; None if it cannot be decoded. Raises CalibrationError."""
        if self._capture is None or index != self._next:
            self._seek(index)
        assert self._capture is not None
        ok, image = self._capture.read()
        # The size may change from frame to frame.
        if not ok or image.shape[0] * image.shape[1] > IMAGE_PIXELS or image.ndim != 3:
            self._capture = None
            return None
        stamp = self._clock.stamp(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        if self._times is not None and index < len(self._times):
            stamp = self._times[index]
        self._next = index + 1
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        height, width = rgb.shape[:2]
        camera = self._camera.at(width, height, self._path, self._orientation)
        return Frame(f"{index:010d}", stamp, np.asarray(rgb, dtype=np.uint8), camera)

    def _seek(self, index: int) -> None:
        """Moves the decoder to a frame, by decoding all before it.

        Seeking is inexact in containers without an index and with a variable rate.
        """
        if self._capture is None or index < self._next:
            self._capture, self._next = self._open(), 0
            self._clock = _Clock(self.rate_hz)
        while self._next < index and self._capture.grab():
            self._clock.stamp(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            self._next += 1


class _Clock:
    """Stamps of consecutive frames: the container's times where they rise, else the rate's."""

    def __init__(self, rate_hz: float) -> None:
        self._period = 1e9 / rate_hz
        self._first: float | None = None
        self._last = 0.0
        self._base, self._frames = 0, 0

    def stamp(self, milliseconds: float) -> int:
        """Nanoseconds since the first frame, of the next frame at this time of the container."""
        usable = math.isfinite(milliseconds)
        if self._first is None:
            self._first = self._last = milliseconds if usable else 0.0
            return 0
        least = self._base + round(self._frames * self._period)
        if usable and milliseconds - self._last > 1e3 / FASTEST_HZ / 2:
            self._last = milliseconds
            stamp = round((milliseconds - self._first) * 1e6)
            if stamp > least:
                self._base, self._frames = stamp, 0
                return stamp
        self._frames += 1
        return self._base + round(self._frames * self._period)


def find_calibration(video: Path) -> Path:
    """Finds the video's YAML: of the same stem, else the folder's camera.yaml.

    Raises:
        UncalibratedError: there is neither.
    """
    for name in (f"{video.stem}.yaml", f"{video.stem}.yml", "camera.yaml"):
        if (file := video.parent / name).is_file():
            return file
    raise UncalibratedError(
        f"{video} has no camera calibration: write {video.with_suffix('.yaml')}, a ROS "
        f"camera_info YAML, with the ROS package camera_calibration or by hand: {EXAMPLE}"
    )
