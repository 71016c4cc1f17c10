# SPDX-License-Identifier: Apache-2.0
"""The measures of many pairs: their means with standard errors, and two networks compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.agreement import THIRDS, Agreement
from depth_recog.evaluation.without_truth.measures import Measures
from depth_recog.method.pose.refinement import robust_std

LEAST_PAIRS = 5
"""A measure that fewer pairs (or frames) allow is not measurable."""

_MOST_CORRELATED = 0.9

Value = Callable[[Measures], "float | None"]

LOWER_IS_BETTER: dict[str, Value] = {
    "triangulation": lambda m: m.triangulation and m.triangulation.abs_rel,
    "flicker": lambda m: m.flicker and m.flicker.mean,
    "warp": lambda m: m.warp and m.warp.error,
    "road_unevenness": lambda m: m.road and m.road.unevenness,
}
"""Measures that an improvement lowers."""

STEADY: dict[str, Value] = {
    "road_height": lambda m: float(np.log(m.road.height)) if m.road else None,
}
"""Measures (logarithms) that learning must not move."""


@dataclass(frozen=True)
class Difference:
    """One measure of two networks on the same pairs of frames.

    Attributes:
        active: mean of the one network.
        candidate: mean of the other.
        mean: of candidate minus active, pair by pair.
        standard_error: of that mean; successive pairs are correlated, which is allowed for.
        pairs: number of pairs where both could be measured.
        lost: pairs where only the active network could be: the candidate's depth is no plane on
            the road, say.
    """

    active: float
    candidate: float
    mean: float
    standard_error: float
    pairs: int
    lost: int

    @property
    def measurable(self) -> bool:
        """Whether there are pairs enough."""
        return self.pairs >= LEAST_PAIRS


class Collected:
    """The measures of one network over the pairs of a recording, by a key of the caller's."""

    def __init__(self) -> None:
        self.pairs: dict[object, Measures] = {}
        self.reasons: dict[str, int] = {}

    def add(self, key: object, measures: Measures, why: str = "") -> None:
        """Add a pair; keys in order of time.

        Args:
            key: of the pair, the same for every network.
            measures: of the pair.
            why: reason where it has no points, counted.
        """
        self.pairs[key] = measures
        if why:
            self.reasons[why] = self.reasons.get(why, 0) + 1

    def figures(self) -> dict[str, Any]:
        """Return all figures as nested dictionaries, see docs/reference/files.md.

        Where fewer than `LEAST_PAIRS` pairs allow a measure it has a `why` and no value.
        """
        every = list(self.pairs.values())
        with_points = [m for m in every if m.has_points]
        answer: dict[str, Any] = {
            "pairs": len(every),
            "without_points": dict(self.reasons),
            "triangulation": self._triangulation(with_points),
        }
        counted = {
            "flicker": [m.flicker.pixels for m in every if m.flicker],
            "warp": [m.warp.pixels for m in every if m.warp],
        }
        for name, pixels in counted.items():
            answer[name] = _mean(every, LOWER_IS_BETTER[name], len(with_points), "pairs")
            if pixels:
                answer[name]["pixels"] = int(np.median(pixels))
        if "value" in answer["warp"]:
            answer["warp"]["unmoved"] = _average([m.warp.unmoved for m in every if m.warp])
            rows = [m.warp_row_fit.error for m in every if m.warp_row_fit]
            answer["warp"]["row_fit"] = _average(rows)
        return answer | {"road": self._road(every)}

    def _triangulation(self, with_points: list[Measures]) -> dict[str, Any]:
        value = LOWER_IS_BETTER["triangulation"]
        answer = _mean(with_points, value, len(self.pairs), "pairs")
        found = [m for m in with_points if m.triangulation]
        if "value" not in answer:
            return answer
        for name in ("row_fit", "constant"):
            answer[name] = _average([getattr(m, name).abs_rel for m in found if getattr(m, name)])
        own = [m.triangulation for m in found if m.triangulation]
        answer["a1"] = _average([a.a1 for a in own])
        answer["by_distance"] = {
            name: {"value": _third(own, i), "row_fit": _third([m.row_fit for m in found], i)}
            for i, name in enumerate(THIRDS)
        }
        answer["points"] = int(np.median([m.points for m in found]))
        answer["point_std"] = _average([m.std for m in found])
        answer["answered"] = _average([a.answered for a in own])
        metres = np.array([m.metres for m in found if m.metres])
        if len(metres) >= LEAST_PAIRS:
            answer["scale_to_recorded_poses"] = {
                "median": float(np.median(metres)),
                "spread": robust_std(np.log(metres)),
                "pairs": len(metres),
            }
        return answer

    def _road(self, every: list[Measures]) -> dict[str, Any]:
        asked = sum(m.has_road for m in every)
        answer = _mean(every, LOWER_IS_BETTER["road_unevenness"], asked, "frames")
        if "value" not in answer:
            return answer
        heights = np.array([m.road.height for m in every if m.road])
        answer["unevenness"] = answer.pop("value")
        answer["height"] = float(np.median(heights))
        answer["height_spread"] = robust_std(np.log(heights))
        answer["pixels"] = int(np.median([m.road.pixels for m in every if m.road]))
        return answer


def compare(active: Collected, candidate: Collected) -> dict[str, Difference]:
    """Compare two networks, measure by measure, on the pairs that both were measured on."""
    answer = {}
    for name, value in (LOWER_IS_BETTER | STEADY).items():
        before, after, lost = [], [], 0
        for key, measures in active.pairs.items():
            one = value(measures)
            other = value(candidate.pairs[key]) if key in candidate.pairs else None
            if one is not None and other is not None:
                before.append(one)
                after.append(other)
            lost += one is not None and other is None
        difference = np.array(after) - np.array(before)
        answer[name] = Difference(
            _average(before),
            _average(after),
            _average(list(difference)),
            standard_error(difference),
            len(before),
            lost,
        )
    return answer


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of (N,) values in order of time.

    Neighbours are correlated: with the correlation r of successive values, N values are worth
    N (1 - r) / (1 + r) independent ones.
    """
    count = len(values)
    if count < 3:
        return float("inf")
    deviation = values - values.mean()
    variance = float((deviation**2).mean())
    if variance == 0:
        return 0.0
    r = float((deviation[1:] * deviation[:-1]).mean()) / variance
    r = min(max(r, 0.0), _MOST_CORRELATED)
    return float(np.sqrt(variance / (count - 1) * (1 + r) / (1 - r)))


def _mean(every: list[Measures], value: Value, asked: int, of: str) -> dict[str, Any]:
    """Return mean, standard error and coverage of a measure; without value if it has too little."""
    values = np.array([x for x in map(value, every) if x is not None])
    answer: dict[str, Any] = {of: len(values), "asked": asked}
    if len(values) < LEAST_PAIRS:
        return answer | {"why": f"{len(values)} of {asked} {of} allow it, {LEAST_PAIRS} needed"}
    return answer | {"value": float(values.mean()), "standard_error": standard_error(values)}


def _average(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _third(found: list[Agreement | None] | list[Agreement], index: int) -> float:
    return _average([a.thirds[index] for a in found if a is not None])
