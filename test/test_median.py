# SPDX-License-Identifier: Apache-2.0
"""The median, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.method.median import median

PROPERTY = settings(deadline=None, max_examples=50, derandomize=True, database=None)


@PROPERTY
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_it_is_numpys(values: list[float]) -> None:
    given_ = np.array(values)
    assert median(given_) == pytest.approx(float(np.median(given_)), rel=1e-12)
    np.testing.assert_array_equal(given_, values, "the values stay as they are")
