# SPDX-License-Identifier: Apache-2.0
"""One measurement of the scale, and what is known of it after many."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True)
class ScaleMeasurement:
    """The scale as one frame, or one pair of frames, shows it.

    Attributes:
        log_scale: logarithm of metres per unit of the depth network.
        std: standard deviation of `log_scale`, independent of that of other frames.
    """

    log_scale: float
    std: float


@dataclass(frozen=True)
class Refusal:
    """The reason why a frame shows no scale."""

    why: str


class ScaleState(enum.Enum):
    """Whether the scale may be trusted."""

    NONE = "none"
    """Nobody asked for metres: the depth has the network's unit."""
    CONSTANT = "constant"
    """The user gave a factor."""
    ACQUIRING = "acquiring"
    """Too few measurements agree so far: the depth has the network's unit."""
    LOCKED = "locked"
    """Measurements agree with the factor."""
    STALE = "stale"
    """The factor is an old one: nothing confirms it at present, or something contradicts it."""


@dataclass(frozen=True)
class Scale:
    """The scale at a frame.

    Attributes:
        factor: metres per unit of the depth network; 1 where it is not known.
        std: standard deviation of the factor's logarithm; inf where it is not known.
        state: whether to trust it.
        why: the reason of the state, for diagnostics.
    """

    factor: float = 1.0
    std: float = float("inf")
    state: ScaleState = ScaleState.NONE
    why: str = "no source of metres was set"

    @property
    def metric(self) -> bool:
        """Whether depth times `factor` is in metres, be it by an old factor."""
        return self.state not in (ScaleState.NONE, ScaleState.ACQUIRING)
