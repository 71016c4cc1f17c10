# SPDX-License-Identifier: Apache-2.0
"""Quaternions and rotations, there and back, with all their digits."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_recog.interfaces.pose import from_message, quaternion, rotation

unit = st.floats(-1, 1, allow_subnormal=False)
angle = st.one_of(
    st.floats(-4, 4),
    st.sampled_from([0.0, 1e-12, 1e-8, 1e-4, math.pi, math.pi - 1e-12, math.pi - 1e-6]),
)


def turn(axis: np.ndarray, theta: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # 1 - cos loses the digits of small angles.
    return np.eye(3) + math.sin(theta) * k + 2 * math.sin(theta / 2) ** 2 * k @ k


@given(st.tuples(unit, unit, unit).filter(lambda v: np.linalg.norm(v) > 0.1), angle)
def test_no_digit_is_lost(axis: tuple[float, float, float], theta: float) -> None:
    """Also near 0 and 180 degrees; w >= 0 and unit norm."""
    matrix = turn(np.array(axis), theta)
    q = quaternion(matrix)
    assert q[3] >= 0
    assert np.linalg.norm(q) == pytest.approx(1, abs=1e-15)
    found = rotation(*q)
    np.testing.assert_allclose(found, matrix, 0, 2e-15)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    """As REP 103 has it."""
    s = math.sqrt(0.5)
    found = rotation(0, 0, s, s)
    np.testing.assert_allclose(found @ (1, 0, 0), (0, 1, 0), atol=1e-15)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (math.nan, 0, 0, 1), (math.inf, 0, 0, 1)])
def test_no_rotation(q: tuple[float, float, float, float]) -> None:
    assert rotation(*q) is None
    orientation = SimpleNamespace(**dict(zip("xyzw", q, strict=True)))
    assert from_message(SimpleNamespace(x=0, y=0, z=0), orientation) is None


def test_a_position_that_is_none() -> None:
    identity = SimpleNamespace(x=0, y=0, z=0, w=2)
    assert from_message(SimpleNamespace(x=math.nan, y=0, z=0), identity) is None
    found = from_message(SimpleNamespace(x=1, y=2, z=3), identity)
    np.testing.assert_array_equal(found, [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
