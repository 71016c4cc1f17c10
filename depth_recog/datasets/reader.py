# SPDX-License-Identifier: Apache-2.0
"""Base classes of the readers: length, bounds and iteration of a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from depth_recog.datasets.image_files import image_size, read_rgb
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.method.geometry.camera import Camera


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
        return (self[i] for i in range(len(self)))

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
        """(width, height) of the first image; all images have this size."""
        return image_size(self._files[0])
