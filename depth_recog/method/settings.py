# SPDX-License-Identifier: Apache-2.0
"""The user's settings of blocks 101 to 107."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate import by_object
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.masking import PresetRules
from depth_recog.method.scale.estimator import ScaleSettings

GATES = ("object", "image", "off", "all")
"""Decide for each object; decide for the whole image; mask nothing; mask every dynamic object."""


class Wanted(IntEnum):
    """What is computed of a frame; each includes those before it."""

    DEPTH = 0
    """Depth alone: the segmentation network does not run."""
    MASKS = 1
    """Depth and masks (blocks 102, 103)."""
    PAIR = 2
    """Poses and decisions as well (blocks 104 to 107)."""


@dataclass(frozen=True)
class Settings:
    """The user's settings.

    Attributes:
        rules: preset objects and which of them can move.
        gate: one of `GATES`.
        thresholds: of the image gate, per second.
        score_threshold: of the object gate, see `ObjectGate`.
        mask_margin: growth of the masks before static features are chosen, pixels at network size.
        longest_gap_s: largest time between the frames of a pair, seconds.
        scale: where metres come from. The factor is applied to the networks' depth before all else:
            depth, poses and gate thresholds are in one unit.
        width: of the images in which masks, features and the gate are computed, pixels; 0 for the
            size of the depth weights. The depth network always gets images of its own size.

    Raises:
        ConfigurationError: an unknown gate, or a negative width.
    """

    rules: PresetRules = field(default_factory=PresetRules)
    gate: str = "object"
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(0.1, 3.5))
    score_threshold: float = by_object.THRESHOLD
    mask_margin: int = 2
    longest_gap_s: float = 0.5
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    width: int = 0

    def __post_init__(self) -> None:
        if self.gate not in GATES:
            raise ConfigurationError(f"gate {self.gate!r} is unknown: {', '.join(GATES)}")
        if self.width < 0:
            raise ConfigurationError(f"width {self.width}: 0 or more pixels are needed")

    @property
    def seen_by(self) -> tuple[object, ...]:
        """The settings that the content of a buffered frame depends on."""
        return self.rules, self.longest_gap_s, self.scale

    @property
    def least_wanted(self) -> Wanted:
        """What must be computed of every frame, whoever wants less: the scale is measured."""
        return Wanted.PAIR if self.scale.measured else Wanted.DEPTH
