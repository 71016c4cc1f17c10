# SPDX-License-Identifier: Apache-2.0
"""The result of comparing a candidate with the active weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One measure of two networks.

    Attributes:
        name: of the measure.
        active: value of the active weights.
        candidate: value of the candidate.
        tolerance: largest difference that is allowed, in the unit of `difference`.
        difference: how much worse the candidate is; negative: better.
        coverage: number of frames that the measure was taken on.
        passed: whether the difference is within the tolerance.
    """

    name: str
    active: float
    candidate: float
    difference: float
    tolerance: float
    coverage: int
    passed: bool


@dataclass(frozen=True)
class Judgement:
    """All checks of a candidate.

    Attributes:
        accepted: every check passed, and the candidate is better by more than noise.
        reason: one sentence.
        checks: in the order in which they were made.
        share: of the way from the start to those that learnt, at which the candidate is.
        seconds: duration.
    """

    accepted: bool
    reason: str
    checks: tuple[Check, ...] = ()
    share: float = 1.0
    seconds: float = 0.0

    @property
    def gain(self) -> float:
        """Improvement of the agreement with triangulated points, as a share; 0 if unknown."""
        found = [-c.difference for c in self.checks if c.name == "triangulation"]
        return found[0] if found and math.isfinite(found[0]) else 0.0

    @property
    def failed_beyond_gain(self) -> bool:
        """Whether something became worse; a gain that is only too small may still grow."""
        return any(not c.passed and c.name != "triangulation" for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards, diagnostics and JSON."""
        return {
            "accepted": self.accepted,
            "reason": self.reason,
            "share": self.share,
            "checks": {
                c.name: {k: v for k, v in vars(c).items() if k != "name"} for c in self.checks
            },
        }
