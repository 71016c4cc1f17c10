# SPDX-License-Identifier: Apache-2.0
"""The interface of all sources: frames, ground truth, sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.method.geometry.camera import Camera


@dataclass(frozen=True)
class Frame:
    """One image with its name, stamp and intrinsics.

    Attributes:
        name: stem of the image file, or the frame's number as ten digits; unique in the sequence.
        stamp_ns: nanoseconds, time of exposure; strictly increasing within a sequence.
        image: (H, W, 3) uint8, RGB.
        camera: intrinsics at the size of this image (`camera.size == (W, H)`).
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera


@dataclass(frozen=True)
class Truth:
    """Ground truth of a frame; None for what the source does not have.

    Attributes:
        depth: (H, W) float32, metres along the optical axis; NaN unknown, +inf sky.
        world_from_camera: (4, 4) float64, metres, optical frame (x right, y down, z forward).
        labels: (H, W) uint8, Cityscapes train ids, 255 unlabelled.
        moving: (H, W) bool, pixels of objects that move in the world.
        flow: (H, W, 2) float32, pixels: position of a pixel's surface point in the next image,
            minus the pixel; NaN where it has none there or there is no next frame.
        boxes: the objects within the image; empty if there are none.
    """

    depth: NDArray[np.float32] | None = None
    world_from_camera: NDArray[np.float64] | None = None
    labels: NDArray[np.uint8] | None = None
    moving: NDArray[np.bool_] | None = None
    flow: NDArray[np.float32] | None = None
    boxes: tuple[Box, ...] | None = None


@runtime_checkable
class Sequence(Protocol):
    """Frames in order of time. Each iteration starts at the first frame.

    Attributes:
        kind: the reader's name, as in `kind:path`.
        name: name of the recording.
        rate_hz: nominal frame rate, Hz.
        live: True for a device: it has no length and cannot be read twice.
    """

    kind: str
    name: str
    rate_hz: float
    live: bool

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order. Raises SourceError or CalibrationError."""
        ...


@runtime_checkable
class Recording(Sequence, Protocol):
    """A sequence with random access: files, or a synthetic scene."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`; negative indices count from the end.

        Raises:
            IndexError: beyond the end.
            SourceError: the image is missing or damaged.
            CalibrationError: the calibration is missing, damaged, or for another image size.
        """
        ...

    def truth(self, index: int) -> Truth:
        """Ground truth of frame `index`, each part None where there is no file or topic for it.

        Raises:
            IndexError: beyond the end.
            SourceError: the ground truth is damaged, incomplete, or contradicts itself.
            CalibrationError: a calibration that the ground truth needs is missing or damaged.
        """
        ...

    def file(self, index: int) -> Path | None:
        """The file that frame `index` is read from; None for synthetic frames.

        Splits identify frames by it. Raises IndexError beyond the end.
        """
        ...
