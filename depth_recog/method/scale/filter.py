# SPDX-License-Identifier: Apache-2.0
"""From measurements of single frames to a steady scale with a state."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.scale.measurement import Refusal, Scale, ScaleMeasurement, ScaleState

WINDOW_S = 8.0
"""Measurements older than this no longer count."""
HALF_LIFE_S = 2.5
"""Age at which a measurement counts half: the unit of a network drifts."""
AFFINE_HALF_LIFE_S = 1.0
"""The same where the unit is handed on from frame to frame: it drifts by some per cent a second."""
MOST_COUNT = 2000
"""Measurements that count, where their stamps hardly grow."""
LEAST_COUNT = 12
LEAST_SPAN_S = 1.0
"""Number of measurements, and the time that they span, before the scale is trusted. A source whose
errors persist for longer has a longer span."""
LEAST_SHARE = 0.5
"""Share of the window's frames that must show a scale, the newest of which count most: where most
refuse, the rest is chance."""
LARGEST_SPREAD = 0.2
"""Largest robust standard deviation of the window's measurements, in log."""
LARGEST_STD = 0.08
"""Largest standard deviation of their median, in log, for a lock: scatter needs more of them."""
LARGEST_RANGE = 0.6
"""Largest difference between their 15 % and 85 % quantiles, in log: a few agree by chance."""
PATIENCE_S = 3.0
"""Time without a measurement near the median after which the scale is stale."""
NEAR = 0.25
"""Largest difference of such a measurement, in log."""
SYSTEMATIC_STD = 0.03
"""Standard deviation of log scale that more frames do not lower."""
CORRELATED = 4
"""Number of consecutive measurements that count as one: their errors persist."""
STALE_GROWTH = 0.005
"""Growth of the standard deviation while the scale is stale, per second."""

AGREEMENT = 0.1
"""Largest difference between the factor in use and the one that is measured, in log."""
RATE = 0.01
"""Largest change of the factor in use, in log per second: depth must not jump."""
AFFINE_RATE = 0.1
"""The same for a network of unknown scale and shift, whose unit is handed on."""
YOUNG_RATE, YOUNG_S = 0.04, 10.0
"""The same for some seconds after the first lock, which rests on few measurements."""

_MAD_TO_STD = 1.4826


class _Entry(NamedTuple):
    seconds: float
    log_scale: float
    """NaN where the frame showed none."""


class MeasurementFilter:
    """Decides whether the measurements of one source agree, and takes their median.

    Args:
        source: what measures, for the reasons in `Scale.why`.
        least_span_s: see `LEAST_SPAN_S`.
        half_life_s: see `HALF_LIFE_S`.
    """

    def __init__(
        self,
        source: str,
        least_span_s: float = LEAST_SPAN_S,
        half_life_s: float = HALF_LIFE_S,
    ) -> None:
        self._source, self._least_span_s, self._half_life_s = source, least_span_s, half_life_s
        self._entries: deque[_Entry] = deque(maxlen=MOST_COUNT)
        self._last: Scale | None = None
        self._confirmed_s = 0.0

    def add(self, stamp_ns: int, result: ScaleMeasurement | Refusal) -> Scale:
        """Add the measurement of the newest frame.

        Args:
            stamp_ns: its time, nanoseconds. Time that goes back empties the window.
            result: of a measuring function.
        """
        now = stamp_ns / 1e9
        if self._entries and now < self._entries[-1].seconds:
            self._entries.clear()
            self._confirmed_s = now
        measured = result.log_scale if isinstance(result, ScaleMeasurement) else math.nan
        self._entries.append(_Entry(now, measured))
        while self._entries[0].seconds < now - WINDOW_S:
            self._entries.popleft()
        refused = "" if isinstance(result, ScaleMeasurement) else result.why
        times, logs = (np.array(column) for column in zip(*self._entries, strict=True))
        known = np.isfinite(logs)
        weights = 0.5 ** ((now - times) / self._half_life_s)
        share = float(weights[known].sum() / weights.sum())
        times, logs, weights = times[known], logs[known], weights[known]
        problem = self._problem(times, logs, share, refused)
        if problem and self._last is None:
            return Scale(state=ScaleState.ACQUIRING, why=problem)
        if problem and self._last is not None:
            grown = self._last.std + STALE_GROWTH * (now - self._confirmed_s)
            return replace(self._last, std=grown, state=ScaleState.STALE, why=problem)
        if self._last is not None and not known[-1]:
            return self._last
        spread = _spread(logs)
        std = _std(logs, float(weights.sum() ** 2 / (weights**2).sum()))
        why = f"{len(logs)} measurements of the {self._source} agree within {spread:.1%}"
        self._last = Scale(math.exp(_middle(logs, weights)), std, ScaleState.LOCKED, why)
        self._confirmed_s = now
        return self._last

    def _problem(
        self, times: NDArray[np.float64], logs: NDArray[np.float64], share: float, refused: str
    ) -> str:
        """Why the measurements of the window are not to be trusted; "" where they are."""
        now = self._entries[-1].seconds
        near = times[np.abs(logs - np.median(logs)) < NEAR] if len(times) else times
        if not len(near) or now - near[-1] > PATIENCE_S:
            return refused or f"the measurements of the {self._source} have changed"
        if len(times) < LEAST_COUNT or now - times[0] < self._least_span_s:
            return f"only {len(times)} measurements of the {self._source} so far"
        if share < LEAST_SHARE:
            return refused or f"few frames show the {self._source}"
        low, high = np.quantile(logs, (0.15, 0.85))
        if _spread(logs) > LARGEST_SPREAD or high - low > LARGEST_RANGE:
            return f"the measurements of the {self._source} scatter by {_spread(logs):.0%}"
        if self._last is None and (std := _std(logs, len(logs))) > LARGEST_STD:
            return f"the {self._source} is known within {std:.0%} so far"
        return ""


def _middle(logs: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Weighted median."""
    order = np.argsort(logs)
    reached = np.cumsum(weights[order])
    return float(logs[order[np.searchsorted(reached, reached[-1] / 2)]])


def _std(logs: NDArray[np.float64], count: float) -> float:
    """Standard deviation of the median of so many measurements."""
    of_median = _spread(logs) / math.sqrt(max(1.0, count / CORRELATED))
    return math.hypot(SYSTEMATIC_STD, of_median)


def _spread(logs: NDArray[np.float64]) -> float:
    """Robust standard deviation."""
    return _MAD_TO_STD * float(np.median(np.abs(logs - np.median(logs))))


class SteadyFactor:
    """The factor in use: the first trusted one, which then follows later ones.

    Args:
        rate: largest change, in log per second.
    """

    def __init__(self, rate: float = RATE) -> None:
        self._rate = rate
        self._log: float | None = None
        self._seconds = self._age_s = 0.0

    def follow(self, stamp_ns: int, target: Scale) -> Scale:
        """The scale to use at a time, given the one that is measured."""
        now = stamp_ns / 1e9
        if self._log is None and target.state is not ScaleState.LOCKED:
            return target if target.state is ScaleState.ACQUIRING else _not_yet(target)
        if self._log is None:
            self._log = math.log(target.factor)
            self._seconds = now
        passed, self._seconds = max(0.0, now - self._seconds), now
        self._age_s += passed
        difference = 0.0
        if target.state is ScaleState.LOCKED:
            difference = math.log(target.factor) - self._log
            rate = max(self._rate, YOUNG_RATE) if self._age_s < YOUNG_S else self._rate
            step = rate * passed
            self._log += min(max(difference, -step), step)
        used = replace(target, factor=math.exp(self._log))
        if abs(difference) > AGREEMENT:
            why = f"the measured factor is {math.exp(difference):.2f} times the one in use"
            return replace(used, std=abs(difference), state=ScaleState.STALE, why=why)
        if target.state is ScaleState.ACQUIRING:
            return replace(used, std=AGREEMENT, state=ScaleState.STALE)
        return used


def _not_yet(target: Scale) -> Scale:
    return Scale(state=ScaleState.ACQUIRING, why=target.why)
