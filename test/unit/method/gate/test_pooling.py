# SPDX-License-Identifier: Apache-2.0
"""Evidence fades, follows its feature, and is pooled over neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.method.gate import evidence
from depth_recog.method.gate.evidence import Evidence

Float = NDArray[np.float64]
FOCAL = 241.7
AHEAD = np.array((0.0, 0.0, 1.0))


def some(ids: list[int], seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(len(ids), 4, 4))
    vectors = rng.normal(size=(len(ids), 4))
    return Evidence(np.array(ids), root @ np.swapaxes(root, 1, 2), vectors)


def test_evidence_fades_and_follows_its_feature() -> None:
    old = some([2, 3, 5, 9])
    got = evidence.remembered(old, np.array([3, 4, 9, 11]), evidence.MEMORY_S)
    assert got.ids.tolist() == [3, 4, 9, 11]
    np.testing.assert_allclose(got.information[[0, 2]], old.information[[1, 3]] / np.e)
    np.testing.assert_allclose(got.vector[[0, 2]], old.vector[[1, 3]] / np.e)
    assert not got.information[[1, 3]].any()
    assert not got.vector[[1, 3]].any()


@given(st.floats(0, 2), st.floats(0, 2))
def test_two_short_times_are_one_long_one(one: float, two: float) -> None:
    old, ids = some([0, 1]), np.array([0, 1])
    twice = evidence.remembered(evidence.remembered(old, ids, one), ids, two)
    once = evidence.remembered(old, ids, one + two)
    np.testing.assert_allclose(twice.information, once.information)
    np.testing.assert_allclose(twice.vector, once.vector)


def test_remembered_evidence_is_a_copy() -> None:
    old = some([0])
    evidence.remembered(old, np.array([0]), 0.0).information[:] = 7
    assert not (old.information == 7).any()


# --- neighbour weights ----------------------------------------------------------------------------


def crowd(seed: int, count: int = 25) -> tuple[Float, Float, NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 60, (count, 2)).astype(np.float32)
    depth = rng.uniform(3, 40, count).astype(np.float32)
    return pixels, depth, rng.integers(1, 3, count).astype(np.uint8)


@given(st.integers(0, 10_000))
def test_neighbour_weights_are_what_a_loop_computes(seed: int) -> None:
    pixels, depth, categories = crowd(seed)
    got = evidence.neighbour_weights(pixels, depth, categories, FOCAL)
    assert got.dtype == np.float64
    assert (np.diag(got) == 1).all()
    for i in range(len(depth)):
        reach = max(evidence.LEAST_REACH, FOCAL * evidence.REACH / depth[i])
        for j in range(len(depth)):
            apart = np.hypot(*(pixels[i] - pixels[j])) / reach
            logs = np.log(depth[i] / depth[j]) / evidence.DEPTH_REACH
            square = apart**2 + logs**2
            if categories[i] != categories[j] or square > 16.01:
                assert got[i, j] == 0, "exactly"
            elif square < 15.99:
                assert got[i, j] == pytest.approx(np.exp(-0.5 * square), rel=1e-3)


def test_weights_of_features_at_one_depth_are_symmetric() -> None:
    pixels, _, categories = crowd(2)
    weights = evidence.neighbour_weights(pixels, np.full(25, 8, np.float32), categories, FOCAL)
    np.testing.assert_allclose(weights, weights.T, rtol=1e-5)
    assert 0.1 < (weights > 0).mean() < 1


@given(st.integers(0, 10_000))
def test_pooled_evidence_is_a_bounded_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, depth, categories = crowd(seed)
    weights = evidence.neighbour_weights(pixels, depth, categories, FOCAL)
    own = some(list(range(25)), seed)
    blank = rng.random(25) < 0.4
    own.information[blank] = 0
    own.vector[blank] = 0
    together, enough = evidence.pooled(own, weights)
    for i in range(25):
        own_weights = np.where(blank, 0.0, weights[i])
        count = own_weights.sum()
        own_weights *= min(count, evidence.MOST_WEIGHT) / max(count, 1e-9)
        assert own_weights.sum() <= evidence.MOST_WEIGHT + 1e-9
        expected = sum(w * m for w, m in zip(own_weights, own.information, strict=True))
        np.testing.assert_allclose(together.information[i], expected, atol=1e-9)
        expected = sum(w * v for w, v in zip(own_weights, own.vector, strict=True))
        np.testing.assert_allclose(together.vector[i], expected, atol=1e-9)
        assert enough[i] == (not blank[i] and count >= 1.5)


def test_a_feature_by_itself_is_not_enough() -> None:
    """Single features are tracked wrongly now and then."""
    together, enough = evidence.pooled(some([0, 1]), np.eye(2))
    assert enough.tolist() == [False, False]
    assert together.ids.tolist() == [0, 1]
    _, enough = evidence.pooled(evidence.nothing(np.arange(4)), np.ones((4, 4)))
    assert not enough.any()
