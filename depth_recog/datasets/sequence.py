# SPDX-License-Identifier: Apache-2.0
"""The one shape in which every source of frames is read."""

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
    """One image and what is known of it without any truth.

    Attributes:
        name: stem of the frame's file, or its number as ten digits; unique in the sequence.
        stamp_ns: time of exposure in nanoseconds; strictly rising within a sequence.
        image: (H, W, 3) uint8, RGB.
        camera: intrinsics of this very image (`camera.size == (W, H)`).
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera


@dataclass(frozen=True)
class Truth:
    """What is known to be true of a frame; None where the source does not know it.

    Attributes:
        depth: (H, W) float32, metres along the optical axis; NaN unknown, +inf sky.
        world_from_camera: (4, 4) float64, metres, optical frame (x right, y down, z forward).
        labels: (H, W) uint8, Cityscapes train ids, 255 unlabelled.
        moving: (H, W) bool, pixels of things that move in the world.
        flow: (H, W, 2) float32, pixels: where a pixel's surface point goes in the next frame's
            image, minus the pixel; NaN where it has no image there or there is no next frame.
        boxes: the things that can move, as far as the image shows them; empty where there is none.
    """

    depth: NDArray[np.float32] | None = None
    world_from_camera: NDArray[np.float64] | None = None
    labels: NDArray[np.uint8] | None = None
    moving: NDArray[np.bool_] | None = None
    flow: NDArray[np.float32] | None = None
    boxes: tuple[Box, ...] | None = None


@runtime_checkable
class Sequence(Protocol):
    """Frames in the order in which they were taken. Iterating twice starts anew.

    Attributes:
        kind: the reader's name, as in `kind:path`.
        name: what people call this recording.
        rate_hz: the nominal frame rate.
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
    """A sequence that lies on a disk, or that can be made again: any frame at any time."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`; IndexError beyond the end. Raises SourceError or CalibrationError."""
        ...

    def truth(self, index: int) -> Truth:
        """What is known of frame `index`."""
        ...

    def file(self, index: int) -> Path | None:
        """The file that frame `index` is read from; None for frames that are made, not read.

        It tells whether a frame was trained on. Raises IndexError beyond the end.
        """
        ...
