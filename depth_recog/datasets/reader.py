# SPDX-License-Identifier: Apache-2.0
"""Base classes of the readers: length, bounds and iteration of a recording.

A frame that cannot be read is left out of every iteration, with a warning; asked for by its index,
it is an error.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Items
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from depth_recog.datasets.image_files import image_size, read_rgb
from depth_recog.datasets.sequence import Frame, Recording, Sequence, Truth
from depth_recog.errors import CalibrationError, DepthRecogError, EncodingError, SourceError
from depth_recog.interfaces.bit_depth import BitDepth
from depth_recog.method.geometry.camera import Camera

_LOOKED_AT = 16
"""Images that are read at most to find the significant bits of 16-bit images."""

Image = TypeVar("Image")

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


def bits_of(
    given: int,
    images: Items[Image],
    read: Callable[[Image, BitDepth], object],
    where: str,
) -> BitDepth:
    """The significant bits of a recording's 16-bit images, the same for all of them.

    Args:
        given: by the user; 0 to find them from images all over the recording.
        images: all of them.
        read: reads one of them with a `BitDepth`.
        where: the recording, for messages.
    """
    if given:
        return BitDepth(given, where)
    bits = BitDepth()
    spread = np.linspace(0, len(images) - 1, _LOOKED_AT).round().astype(int)
    for number in np.unique(spread).tolist():
        try:
            read(images[number], bits)
        except (SourceError, EncodingError):
            continue
        if not bits.seen:
            break  # of 8 bits
    return bits.fixed(where)


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

    def stamp_ns(self, index: int) -> int:
        """Time of exposure of frame `index`, without reading its image. Raises IndexError."""
        return self._stamps[index]

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
    """A recording of one image file a frame; a subclass also sets `_files`.

    `_given_bits` are the significant bits of 16-bit images, 0 to find them from the images.
    """

    _files: list[Path]
    _given_bits = 0

    def _frame(self, index: int) -> Frame:
        image = read_rgb(self._files[index], self._bits)
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
    def _bits(self) -> BitDepth:
        return bits_of(self._given_bits, self._files, read_rgb, str(self._files[0].parent))

    @cached_property
    def _size(self) -> tuple[int, int]:
        """(width, height) of the first image that can be read; all images have this size."""
        for file in self._files[:-1]:
            try:
                return image_size(file)
            except SourceError:
                continue
        return image_size(self._files[-1])
