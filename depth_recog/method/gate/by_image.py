# SPDX-License-Identifier: Apache-2.0
"""Blocks 104 and 107, claims 3 and 5: the literal gate, `gate: image`.

Two poses, one of the static and one of the dynamic images; their absolute difference, element by
element; any element above its threshold: the dynamic objects move.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from depth_recog.errors import ConfigurationError
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.estimator import PoseEstimate


class Motion(IntEnum):
    """A decision, as it stands in `mask/moving`."""

    STILL = 0
    UNDECIDED = 1
    MOVING = 2


@dataclass(frozen=True)
class Decision:
    """What the gate says of a pair, and why."""

    motion: Motion
    why: str


@dataclass(frozen=True)
class Thresholds:
    """The preset threshold matrix, per second.

    Attributes:
        rotation: for the nine elements of R, per second (dimensionless elements).
        translation: for the three elements of t, in D1's unit per second.

    Raises:
        ConfigurationError: a threshold that is not positive.
    """

    rotation: float
    translation: float

    def __post_init__(self) -> None:
        for name in ("rotation", "translation"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigurationError(f"gate threshold for {name} is {value}: must be positive")

    def matrix(self, seconds: float) -> Matrix:
        """The 4x4 threshold matrix of a pair `seconds` apart; its fourth row never fires."""
        thresholds = np.full((4, 4), np.inf)
        thresholds[:3, :3] = self.rotation * seconds
        thresholds[:3, 3] = self.translation * seconds
        return thresholds


def absolute_difference(static: Matrix, dynamic: Matrix) -> Matrix:
    """The pose absolute difference: |static - dynamic|, element by element, (4, 4)."""
    difference: Matrix = np.abs(static - dynamic)
    return difference


def decide(
    static: PoseEstimate, dynamic: PoseEstimate, thresholds: Matrix, dynamic_pixels: int
) -> Decision:
    """The decision of block 107.

    Args:
        static: pose of the static images.
        dynamic: pose of the dynamic images.
        thresholds: (4, 4), for this pair's time difference.
        dynamic_pixels: how many pixels of I1 and I2 belong to dynamic categories.

    Returns:
        STILL without dynamic pixels, UNDECIDED where a pose is missing, else MOVING when any
        element of the difference is strictly above its threshold.
    """
    if not dynamic_pixels:
        return Decision(Motion.STILL, "no pixel of a dynamic category")
    if not static.ok:
        return Decision(Motion.UNDECIDED, f"no static pose: {static.why}")
    if not dynamic.ok:
        return Decision(Motion.UNDECIDED, f"no dynamic pose: {dynamic.why}")
    difference = absolute_difference(static.T_second_from_first, dynamic.T_second_from_first)
    excess = difference / thresholds
    row, column = np.unravel_index(int(excess.argmax()), excess.shape)
    largest = (
        f"|static - dynamic| at ({row}, {column}) is {difference[row, column]:.4f}, "
        f"threshold {thresholds[row, column]:.4f}"
    )
    moving = bool((difference > thresholds).any())
    return Decision(Motion.MOVING if moving else Motion.STILL, largest)
