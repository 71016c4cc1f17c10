# SPDX-License-Identifier: Apache-2.0
"""What a method says of a frame, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame


@dataclass(frozen=True)
class PairMotion:
    """The camera's motion between two frames, as estimated.

    Attributes:
        first: name of the earlier frame.
        T_second_from_first: (4, 4) float64 in the depth's unit, or None where there is no answer.
    """

    first: str
    T_second_from_first: NDArray[np.float64] | None


@dataclass(frozen=True)
class Answer:
    """What a method says of one frame.

    Attributes:
        depth: (H, W) float32, of the rectified image's size; NaN without an answer, inf beyond
            range.
        labels: (H, W) uint8 train ids, or None.
        dynamic: (H, W) bool, pixels of dynamic categories, or None.
        moving: (H, W) uint8, 0 still, 1 undecided, 2 moving, or None.
        scores: (H, W) float32, how likely a pixel of what could move is to move, in any unit; NaN
            where nothing is known; or None.
        motion: against an earlier frame, or None where there was no partner.
        world_from_camera: (4, 4) float64, the estimated trajectory in any world, or None.
    """

    depth: NDArray[np.float32]
    labels: NDArray[np.uint8] | None = None
    dynamic: NDArray[np.bool_] | None = None
    moving: NDArray[np.uint8] | None = None
    scores: NDArray[np.float32] | None = None
    motion: PairMotion | None = None
    world_from_camera: NDArray[np.float64] | None = None


class Answers(Protocol):
    """A method that is asked frame after frame, in order.

    Attributes:
        about: what people need to know of it: weights, sha256, gate, ...; goes into the report.
    """

    about: dict[str, str]

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Answers to the frames, each beside its frame. Raises DepthRecogError."""
        ...
