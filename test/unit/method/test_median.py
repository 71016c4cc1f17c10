# SPDX-License-Identifier: Apache-2.0
"""The median, against numpy's; the deviation by it, against a normal distribution's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.method.median import deviation, median

PROPERTY = settings(deadline=None, max_examples=50, derandomize=True, database=None)


@PROPERTY
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_it_is_numpys(values: list[float]) -> None:
    given_ = np.array(values)
    assert median(given_) == pytest.approx(float(np.median(given_)), rel=1e-12)
    np.testing.assert_array_equal(given_, values, "the values stay as they are")


def test_the_deviation_is_a_normal_distributions_and_outliers_hardly_move_it() -> None:
    values = np.random.default_rng(0).normal(5, 0.3, 100_001)
    assert deviation(values) == pytest.approx(0.3, rel=0.02)
    values[::20] = 1e6
    assert deviation(values) == pytest.approx(0.3, rel=0.1)
