# SPDX-License-Identifier: Apache-2.0
"""States of the scale: trusted when measurements agree, steady, stale when nothing confirms it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.method.scale.filter import (
    RATE,
    YOUNG_RATE,
    YOUNG_S,
    MeasurementFilter,
    SteadyFactor,
)
from depth_recog.method.scale.measurement import Refusal, Scale, ScaleMeasurement, ScaleState

RATE_HZ = 10
STEP_NS = 10**9 // RATE_HZ


def fed(results: list[ScaleMeasurement | Refusal]) -> list[Scale]:
    measured, steady = MeasurementFilter("test"), SteadyFactor()
    return [
        steady.follow(i * STEP_NS, measured.add(i * STEP_NS, result))
        for i, result in enumerate(results)
    ]


def shown(factor: float, count: int, spread: float = 0.03) -> list[ScaleMeasurement | Refusal]:
    rng = np.random.default_rng(count)
    return [ScaleMeasurement(math.log(factor) + rng.normal(0, spread), 0.03) for _ in range(count)]


NOTHING: list[ScaleMeasurement | Refusal] = [Refusal("the road is hidden")]


def test_it_locks_within_two_seconds_on_the_median() -> None:
    scales = fed(shown(0.7, 50))
    assert scales[0].state is ScaleState.ACQUIRING
    assert not scales[0].metric
    assert scales[0].factor == 1.0
    locked = [s for s in scales if s.state is ScaleState.LOCKED]
    assert len(locked) >= 50 - 2 * RATE_HZ
    assert locked[-1].factor == pytest.approx(0.7, rel=0.02)
    assert 0.02 < locked[-1].std < 0.05


def test_outliers_do_not_move_it() -> None:
    results = shown(0.7, 60)
    results[20:60:4] = [ScaleMeasurement(math.log(2.0), 0.03)] * 10
    assert fed(results)[-1].factor == pytest.approx(0.7, rel=0.03)


def test_scattered_measurements_are_never_trusted() -> None:
    assert all(s.state is ScaleState.ACQUIRING for s in fed(shown(0.7, 100, 0.3)))


def test_a_few_lucky_frames_are_not_trusted() -> None:
    results = [*shown(0.7, 1), *NOTHING * 4] * 20
    scales = fed(results)
    assert all(s.state is ScaleState.ACQUIRING for s in scales)
    assert "hidden" in scales[-1].why


def test_without_measurements_the_factor_is_kept_but_stale() -> None:
    scales = fed([*shown(0.7, 40), *NOTHING * 200])
    assert scales[39].state is ScaleState.LOCKED
    assert scales[55].state is ScaleState.LOCKED  # for a moment only
    assert scales[-1].state is ScaleState.STALE
    assert scales[-1].metric
    assert scales[-1].factor == pytest.approx(scales[60].factor)
    assert scales[-1].std > 2 * scales[39].std
    assert "hidden" in scales[-1].why


def test_another_scale_is_approached_slowly_and_stale_until_then() -> None:
    scales = fed([*shown(1.0, 140), *shown(1.5, 600)])
    steps = np.abs(np.diff(np.log([s.factor for s in scales[140:]])))
    assert steps.max() <= RATE / RATE_HZ * 1.001
    middle = scales[140 + 150]
    assert middle.state is ScaleState.STALE
    assert "times the one in use" in middle.why
    assert scales[-1].state is ScaleState.LOCKED
    assert scales[-1].factor == pytest.approx(1.5, rel=0.02)


def test_a_first_lock_is_corrected_quickly_and_later_ones_slowly() -> None:
    drift = [ScaleMeasurement(0.02 * i / RATE_HZ, 0.03) for i in range(60)]
    logs = np.log([s.factor for s in fed(drift) if s.metric])
    assert np.diff(logs).max() > 1.9 * RATE / RATE_HZ
    # The newest measurements count most: half of the lag of a plain median.
    assert drift[-1].log_scale - logs[-1] < 0.06


def test_a_clock_that_goes_back_does_not_stop_it() -> None:
    measured, steady = MeasurementFilter("test"), SteadyFactor()
    for start in (10**12, 0):
        for i, result in enumerate(shown(0.8, 40)):
            stamp = start + i * STEP_NS
            scale = steady.follow(stamp, measured.add(stamp, result))
    assert scale.state is ScaleState.LOCKED
    assert scale.factor == pytest.approx(0.8, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(ScaleMeasurement, st.floats(-3, 3), st.just(0.03)),
            st.just(Refusal("nothing")),
        ),
        max_size=80,
    ),
    st.lists(st.integers(-2, 30), min_size=80, max_size=80),
)
def test_whatever_comes_the_factor_never_jumps(
    results: list[ScaleMeasurement | Refusal], gaps: list[int]
) -> None:
    measured, steady = MeasurementFilter("test"), SteadyFactor()
    stamp, age, before = 0, 0.0, None
    for result, gap in zip(results, gaps, strict=False):
        stamp += gap * STEP_NS
        scale = steady.follow(stamp, measured.add(stamp, result))
        assert math.isfinite(scale.factor)
        assert scale.factor > 0
        if before is not None and before.metric:
            assert scale.metric
            age += max(0, gap) / RATE_HZ
            rate = YOUNG_RATE if age < YOUNG_S else RATE
            allowed = rate * max(0, gap) / RATE_HZ + 1e-9
            assert abs(math.log(scale.factor / before.factor)) <= allowed
        before = scale
