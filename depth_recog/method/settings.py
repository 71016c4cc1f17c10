# SPDX-License-Identifier: Apache-2.0
"""What a user may decide of blocks 101 to 107."""

from __future__ import annotations

from dataclasses import dataclass, field

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate import by_object
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.masking import PresetRules

GATES = ("object", "image", "off", "all")
"""Each thing by itself; the literal gate; nothing is masked; all that could move is."""


@dataclass(frozen=True)
class Settings:
    """What a user may decide.

    Attributes:
        rules: preset objects and which of them can move.
        gate: one of `GATES`.
        thresholds: of the literal gate, per second.
        score_threshold: of the gate by object, see `ObjectGate`.
        mask_margin: how far masks are grown before features are chosen, pixels at network size.
        longest_gap_s: frames further apart make no pair, seconds.
        depth_scale: factor on the networks' depth and translations, before anything is made of
            them: depth, poses and the gate's thresholds are in one unit.
        width: of the pictures in which masks, features and the gate look, pixels; 0 for the size of
            the depth weights, which see pictures of their own size in any case.

    Raises:
        ConfigurationError: an unknown gate, or a negative width.
    """

    rules: PresetRules = field(default_factory=PresetRules)
    gate: str = "object"
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(0.1, 3.5))
    score_threshold: float = by_object.THRESHOLD
    mask_margin: int = 2
    longest_gap_s: float = 0.5
    depth_scale: float = 1.0
    width: int = 0

    def __post_init__(self) -> None:
        if self.gate not in GATES:
            raise ConfigurationError(f"gate {self.gate!r} is unknown: {', '.join(GATES)}")
        if self.width < 0:
            raise ConfigurationError(f"width {self.width}: 0 or more pixels are needed")

    @property
    def seen_by(self) -> tuple[object, ...]:
        """What a buffered frame depends on."""
        return self.rules, self.longest_gap_s, self.depth_scale
