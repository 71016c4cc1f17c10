# SPDX-License-Identifier: Apache-2.0
"""The image gate, `gate: image`: blocks 104 and 107, claims 3 and 5, as the patent has them.

One pose is estimated from the static images, one from the dynamic images. If any element of their
absolute difference exceeds its threshold, the dynamic objects move.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from depth_recog.errors import ConfigurationError
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.estimator import PoseEstimate


class Motion(IntEnum):
    """A decision; the values of the topic `mask/moving`."""

    STILL = 0
    UNDECIDED = 1
    MOVING = 2


@dataclass(frozen=True)
class Decision:
    """The decision on a pair, and its reason."""

    motion: Motion
    why: str


@dataclass(frozen=True)
class Thresholds:
    """The preset threshold matrix, per second of time between the frames.

    Attributes:
        rotation: for the nine elements of R, per second.
        translation: for the three elements of t, D1's unit per second.

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
        """Return the (4, 4) thresholds of a pair `seconds` apart; infinite in the fourth row."""
        thresholds = np.full((4, 4), np.inf)
        thresholds[:3, :3] = self.rotation * seconds
        thresholds[:3, 3] = self.translation * seconds
        return thresholds


def absolute_difference(static: Matrix, dynamic: Matrix) -> Matrix:
    """Return the pose absolute difference |static - dynamic|, element by element, (4, 4)."""
    difference: Matrix = np.abs(static - dynamic)
    return difference


def decide(
    static: PoseEstimate, dynamic: PoseEstimate, thresholds: Matrix, dynamic_pixels: int
) -> Decision:
    """Decide on a pair (block 107).

    Args:
        static: pose of the static images.
        dynamic: pose of the dynamic images.
        thresholds: (4, 4), for this pair's time difference.
        dynamic_pixels: number of dynamic pixels in I1 and I2.

    Returns:
        STILL without dynamic pixels, UNDECIDED if a pose is missing, else MOVING if any element
        of the difference is strictly above its threshold.
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
