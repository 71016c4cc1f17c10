# SPDX-License-Identifier: Apache-2.0
"""A method's results for one frame, and the interface of a method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame


@dataclass(frozen=True)
class PairMotion:
    """The estimated ego-motion between two frames.

    Attributes:
        first: name of the earlier frame.
        T_second_from_first: (4, 4) float64 in the depth's unit; None where the estimate failed.
    """

    first: str
    T_second_from_first: NDArray[np.float64] | None


@dataclass(frozen=True)
class Answer:
    """A method's results for one frame.

    Attributes:
        depth: (H, W) float32 at the rectified image's size; NaN where unknown, inf beyond range.
        labels: (H, W) uint8 train ids, or None.
        dynamic: (H, W) bool, pixels of dynamic classes, or None.
        moving: (H, W) uint8, 0 still, 1 undecided, 2 moving, or None.
        scores: (H, W) float32, higher where motion is more likely, in any unit; NaN where unknown;
            or None.
        motion: since an earlier frame; None without a partner frame.
        world_from_camera: (4, 4) float64, estimated pose in any world frame, or None.
        deviation: (H, W) float32, standard deviation of log depth, NaN where unknown; or None.
    """

    depth: NDArray[np.float32]
    labels: NDArray[np.uint8] | None = None
    dynamic: NDArray[np.bool_] | None = None
    moving: NDArray[np.uint8] | None = None
    scores: NDArray[np.float32] | None = None
    motion: PairMotion | None = None
    world_from_camera: NDArray[np.float64] | None = None
    deviation: NDArray[np.float32] | None = None


class Answers(Protocol):
    """A method that processes frames in order.

    Attributes:
        about: weights, sha256, gate and so on, for the report.
    """

    about: dict[str, str]

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Yield each frame with its results. Raises DepthRecogError."""
        ...
