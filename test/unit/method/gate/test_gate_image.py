# SPDX-License-Identifier: Apache-2.0
"""Blocks 104 and 107: twelve elements against twelve thresholds, strictly above."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate.by_image import (
    Decision,
    Motion,
    Thresholds,
    absolute_difference,
    decide,
)
from depth_recog.method.geometry import se3
from depth_recog.method.pose.estimator import PoseEstimate

Matrix = NDArray[np.float64]
elements = st.tuples(st.integers(0, 2), st.integers(0, 3))


def estimate(matrix: Matrix) -> PoseEstimate:
    return PoseEstimate(matrix, True, "", 100, 90)


def test_decisions_are_numbered_as_they_are_published() -> None:
    assert [m.value for m in (Motion.STILL, Motion.UNDECIDED, Motion.MOVING)] == [0, 1, 2]


@given(st.integers(0, 10_000))
def test_absolute_difference_is_element_by_element(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 4, 4))
    got = absolute_difference(a, b)
    for at in np.ndindex(4, 4):
        assert got[at] == abs(a[at] - b[at])
    np.testing.assert_array_equal(got, absolute_difference(b, a))


@given(st.floats(1e-3, 10.0), st.floats(1e-3, 100.0), st.floats(1e-3, 1.0))
def test_thresholds_are_per_second(rotation: float, translation: float, seconds: float) -> None:
    matrix = Thresholds(rotation, translation).matrix(seconds)
    assert matrix.shape == (4, 4)
    np.testing.assert_allclose(matrix[:3, :3], rotation * seconds)
    np.testing.assert_allclose(matrix[:3, 3], translation * seconds)
    np.testing.assert_array_equal(matrix[3], np.inf)
    twice = Thresholds(rotation, translation).matrix(2 * seconds)
    np.testing.assert_allclose(twice[:3], 2 * matrix[:3])


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_thresholds_must_be_positive(value: float) -> None:
    with pytest.raises(ConfigurationError, match="rotation"):
        Thresholds(value, 1.0)
    with pytest.raises(ConfigurationError, match="translation"):
        Thresholds(1.0, value)


@given(elements, st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.booleans())
def test_an_element_at_its_threshold_is_still_and_one_above_it_moves(
    at: tuple[int, int], seconds: float, negative: bool
) -> None:
    """Powers of two: the difference is the threshold to the last bit."""
    thresholds = Thresholds(0.25, 4.0).matrix(seconds)
    sign = -1.0 if negative else 1.0
    static, dynamic = np.zeros((4, 4)), np.zeros((4, 4))
    dynamic[at] = sign * thresholds[at]
    still = decide(estimate(static), estimate(dynamic), thresholds, 1)
    assert still.motion is Motion.STILL
    dynamic[at] = sign * np.nextafter(thresholds[at], np.inf)
    moving = decide(estimate(static), estimate(dynamic), thresholds, 1)
    assert moving.motion is Motion.MOVING
    assert f"({at[0]}, {at[1]})" in moving.why


@given(st.integers(0, 10_000), st.floats(0.05, 2.0))
def test_decision_equals_the_text(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = (se3.exp_twist(rng.normal(0, size * 0.05, 6)) for _ in range(2))
    thresholds = Thresholds(0.6, 0.7).matrix(0.1)
    expected = any(abs(a[at] - b[at]) > (0.07 if at[1] == 3 else 0.06) for at in np.ndindex(3, 4))
    got = decide(estimate(a), estimate(b), thresholds, 5)
    assert got.motion is (Motion.MOVING if expected else Motion.STILL)


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.5])
@pytest.mark.parametrize(("speed", "motion"), [(1.0, Motion.STILL), (3.0, Motion.MOVING)])
def test_a_longer_gap_allows_a_larger_difference(
    seconds: float, speed: float, motion: Motion
) -> None:
    """The threshold is 2 m/s."""
    dynamic = np.eye(4)
    dynamic[0, 3] = speed * seconds
    thresholds = Thresholds(0.1, 2.0).matrix(seconds)
    assert decide(estimate(np.eye(4)), estimate(dynamic), thresholds, 5).motion is motion


@given(st.integers(0, 3), st.floats(-1e9, 1e9))
def test_the_fourth_row_never_fires(column: int, value: float) -> None:
    dynamic = np.eye(4)
    dynamic[3, column] += value
    got = decide(estimate(np.eye(4)), estimate(dynamic), Thresholds(1e-6, 1e-6).matrix(0.1), 5)
    assert got.motion is Motion.STILL


def test_missing_pixels_and_poses_decide_in_this_order() -> None:
    far = np.eye(4)
    far[0, 3] = 99
    good, moved, missing = estimate(np.eye(4)), estimate(far), PoseEstimate(why="too few")
    limits = Thresholds(0.1, 0.1).matrix(1.0)
    nothing = Decision(Motion.STILL, "no pixel of a dynamic category")
    assert decide(missing, missing, limits, 0) == decide(good, moved, limits, 0) == nothing
    expected = Decision(Motion.UNDECIDED, "no static pose: too few")
    assert decide(missing, moved, limits, 3) == expected
    expected = Decision(Motion.UNDECIDED, "no dynamic pose: too few")
    assert decide(good, missing, limits, 3) == expected
    assert decide(good, moved, limits, 1).motion is Motion.MOVING


def test_the_reason_names_the_element_that_exceeds_most() -> None:
    dynamic = np.eye(4)
    dynamic[1, 3], dynamic[0, 2] = 0.5, 0.2
    why = decide(estimate(np.eye(4)), estimate(dynamic), Thresholds(0.1, 0.4).matrix(1.0), 9).why
    assert why == "|static - dynamic| at (0, 2) is 0.2000, threshold 0.1000"
