# SPDX-License-Identifier: Apache-2.0
"""Decides whether a candidate may replace the active weights.

Only triangulated points can accept: they are known without any network. Everything else can refuse:
what the points do not show (the scale, the road, the sky, what moves, other places) must stay.
The photometric error alone is no judge: on a motorway it fell while the road sank from 1.8 to 5 m.
"""

from __future__ import annotations

import time

import numpy as np
from torch import nn

from depth_recog.evaluation.without_truth.collected import LEAST_PAIRS, Difference, compare
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.judge.anchors import AnchorFrames
from depth_recog.training.judge.judgement import Check, Judgement
from depth_recog.training.judge.witness import Sight, Witness

PAIRS = 10
"""Pairs of frames with triangulated points without which nothing is accepted: two blocks. The
standard error of fewer is not known well enough."""

LEAST_GAIN = 0.01
"""Least improvement of the agreement with triangulated points, as a share."""

SURE = 2.0
"""Standard errors by which it must be better."""

INCREASES = {"flicker": 0.05, "warp": 0.01, "road_unevenness": 0.05}
"""Largest increase, as a share of the active weights' value."""

_SMALLEST = 0.01
"""Values below this count as this: shares of nearly nothing mean nothing."""

STEADY = 0.03
"""Largest change of the log of the scale and of the road's height, against the start."""

ANCHORS = 0.02
"""Largest increase of the error on synthetic streets, against the start, as a share."""

SKY, CONTACT = 0.1, 0.02
"""Largest increase of the log inverse depth of the sky, and of the log error of moving objects
against the road's depth where they stand."""


class Judge:
    """Compares networks on frames that none of them learnt from.

    Args:
        witness: measures networks.
        start: the weights that everything began with: drift is measured against them.
    """

    def __init__(self, witness: Witness, start: nn.Module) -> None:
        self._witness, self._start = witness, start

    def compare(
        self,
        active: nn.Module,
        candidate: nn.Module,
        recordings: list[TrainingRecording],
        anchors: AnchorFrames,
        better: bool = True,
    ) -> Judgement:
        """Judge a candidate against the active weights.

        Args:
            active: the weights in use.
            candidate: those that learnt.
            recordings: held back.
            anchors: synthetic frames that are not learnt from.
            better: whether the candidate must be better, or only not worse.
        """
        began = time.perf_counter()
        if not recordings:
            return Judgement(False, "no frames are held back yet: nothing can be compared")
        networks = self._start, active, candidate
        start, before, after = (self._witness.look(n, recordings, anchors) for n in networks)
        checks = checks_of(start, before, after, better)
        failed = sentence_of(checks)
        reason = failed or f"{_sentence(checks[0])}; nothing is worse"
        return Judgement(not failed, reason, tuple(checks), 1.0, time.perf_counter() - began)


def checks_of(
    start: Sight, active: Sight, candidate: Sight, better: bool = True, steady: bool = True
) -> list[Check]:
    """All checks of a candidate; the first is that of the triangulated points.

    Args:
        start: what the start shows.
        active: what the active weights show.
        candidate: what the candidate shows, on the same frames.
        better: whether it must be better, or only not worse.
        steady: whether the scale must be that of the start: False where something else sets it.
    """
    measured = compare(active.collected, candidate.collected)
    points = measured["triangulation"]
    checks = [_improved(points) if better else _increase("triangulation", points, LEAST_GAIN)]
    checks += [_increase(name, measured[name], most) for name, most in INCREASES.items()]
    if steady:
        checks += _drift(start, candidate)
    for name, most in (("sky", SKY), ("contact", CONTACT)):
        checks.append(_common(name, getattr(active, name), getattr(candidate, name), most))
    if not candidate.finite:
        checks.append(Check("finite depth", 1.0, 0.0, 1.0, 0.0, 1, False))
    return checks


def _drift(start: Sight, candidate: Sight) -> list[Check]:
    """Road height, scale and other places, against the start: many small steps must not add up."""
    road = compare(start.collected, candidate.collected)["road_height"]
    heights = float(np.exp(road.active)), float(np.exp(road.candidate))
    unseen = road.lost > 0 and road.lost >= road.pairs
    passed = not unseen and not abs(road.mean) > STEADY
    checks = [Check("road height", *heights, abs(road.mean), STEADY, road.pairs, passed)]
    both = [k for k in start.scales if k in candidate.scales]
    ratios = [np.log(candidate.scales[k] / start.scales[k]) for k in both]
    scale = float(np.median(ratios)) if ratios else float("nan")
    steady = abs(scale) <= STEADY
    checks.append(
        Check("scale", 1.0, float(np.exp(scale)), abs(scale), STEADY, len(ratios), steady)
    )
    before, after = (float(np.mean(list(s.anchors.values()))) for s in (start, candidate))
    worse = after / before - 1
    return [
        *checks,
        Check("anchors", before, after, worse, ANCHORS, len(start.anchors), worse <= ANCHORS),
    ]


def sentence_of(checks: list[Check]) -> str:
    """What failed; "" if nothing did."""
    return "; ".join(_sentence(check) for check in checks if not check.passed)


def _improved(points: Difference) -> Check:
    """Better by more than noise."""
    change = points.mean / points.active if points.measurable else float("nan")
    noise = points.standard_error / points.active if points.measurable else float("nan")
    most = -max(LEAST_GAIN, SURE * noise)
    passed = points.pairs >= PAIRS and change < most and points.lost < points.pairs
    values = points.active, points.candidate
    return Check("triangulation", *values, change, most, points.pairs, bool(passed))


def _increase(name: str, found: Difference, most: float) -> Check:
    """Not worse by more than a share, or than one standard error; what is not seen passes."""
    if not found.measurable:
        return Check(name, found.active, found.candidate, 0.0, most, found.pairs, not found.lost)
    change = found.mean / max(found.active, _SMALLEST)
    values = found.active, found.candidate
    passed = change <= most and found.lost < found.pairs
    return Check(name, *values, change, most, found.pairs, bool(passed))


def _common(
    name: str, active: dict[object, float], candidate: dict[object, float], most: float
) -> Check:
    keys = [key for key in active if key in candidate]
    if len(keys) < LEAST_PAIRS:
        return Check(name, float("nan"), float("nan"), 0.0, most, len(keys), True)
    before, after = (float(np.mean([one[key] for key in keys])) for one in (active, candidate))
    return Check(name, before, after, after - before, most, len(keys), after - before <= most)


def _sentence(check: Check) -> str:
    if check.name == "triangulation" and check.coverage < PAIRS:
        return f"triangulation: points on {check.coverage} pairs of frames only, {PAIRS} are needed"
    values = f"{check.active:.4g} -> {check.candidate:.4g}"
    return f"{check.name} {values} ({check.difference:+.1%}, at most {check.tolerance:+.1%})"
