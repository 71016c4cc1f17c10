# SPDX-License-Identifier: Apache-2.0
"""Base classes of the readers: length, bounds and iteration of a recording.

A frame that cannot be read is left out of every iteration, with a warning; asked for by its index,
it is an error.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from depth_recog.datasets.image_files import image_size, read_rgb
from depth_recog.datasets.sequence import Frame, Recording, Sequence, Truth
from depth_recog.errors import CalibrationError, DepthRecogError, SourceError
from depth_recog.method.geometry.camera import Camera

Refused = Callable[[DepthRecogError], object]
"""Called with the reason for each frame that is left out."""


def readable(
    recording: Recording, indices: Iterable[int], refused: Refused | None = None
) -> Iterator[tuple[int, Frame]]:
    """The frames that can be read, with their indices.

    The first frame that cannot be read is logged, and at the end the number of all of them.

    Raises:
        SourceError: no frame can be read.
        CalibrationError: the first frame's calibration is missing, damaged or does not fit.
    """
    first: DepthRecogError | None = None
    left_out, found = 0, False
    log = logging.getLogger(__name__)
    for index in indices:
        try:
            frame = recording[index]
        except (SourceError, CalibrationError) as error:
            if isinstance(error, CalibrationError) and not found:
                raise  # of all frames, most likely
            left_out += 1
            if first is None:
                first = error
                log.warning("%s; the frame is left out", error)
            if refused is not None:
                refused(error)
            continue
        found = True
        yield index, frame
    if first is not None and not found:
        raise first
    if left_out > 1:
        log.warning("%s: %d frames that cannot be read were left out", recording.name, left_out)


def numbered(sequence: Sequence, refused: Refused | None = None) -> Iterator[tuple[int, Frame]]:
    """All frames of a sequence with their indices; see `readable`."""
    if isinstance(sequence, RecordingReader):
        return sequence.numbered(refused)
    return enumerate(sequence)


class RecordingReader(ABC):
    """A `Recording`. A subclass sets `_stamps` and implements `_frame`, `_file` and `_truth`.

    The indices that these three methods get are within the recording.
    """

    kind: str
    name: str
    rate_hz: float
    live: bool = False
    _stamps: list[int]

    def __len__(self) -> int:
        return len(self._stamps)

    def __iter__(self) -> Iterator[Frame]:
        return (frame for _, frame in self.numbered())

    def numbered(self, refused: Refused | None = None) -> Iterator[tuple[int, Frame]]:
        """The frames that can be read, with their indices; see `readable`."""
        return readable(self, range(len(self)), refused)

    def __getitem__(self, index: int) -> Frame:
        return self._frame(range(len(self))[index])

    def truth(self, index: int) -> Truth:
        """See `Recording`."""
        return self._truth(range(len(self))[index])

    def file(self, index: int) -> Path | None:
        """See `Recording`."""
        return self._file(range(len(self))[index])

    @abstractmethod
    def _frame(self, index: int) -> Frame: ...

    @abstractmethod
    def _file(self, index: int) -> Path | None: ...

    def _truth(self, index: int) -> Truth:
        return Truth()


class ImageReader(RecordingReader):
    """A recording of one image file a frame; a subclass also sets `_files`."""

    _files: list[Path]

    def _frame(self, index: int) -> Frame:
        image = read_rgb(self._files[index])
        height, width = image.shape[:2]
        camera = self._camera_at(index, width, height)
        return Frame(self._frame_name(index), self._stamps[index], image, camera)

    def _file(self, index: int) -> Path | None:
        return self._files[index]

    def _frame_name(self, index: int) -> str:
        return self._files[index].stem

    @abstractmethod
    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        """The intrinsics of image `index` at its size. Raises CalibrationError."""

    @cached_property
    def _size(self) -> tuple[int, int]:
        """(width, height) of the first image that can be read; all images have this size."""
        for file in self._files[:-1]:
            try:
                return image_size(file)
            except SourceError:
                continue
        return image_size(self._files[-1])
