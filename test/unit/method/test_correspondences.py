# SPDX-License-Identifier: Apache-2.0
"""Pixels that correspond: who of them survives a mask, and what is read at them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.method.tracking.correspondences import Correspondences, at

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True, database=None)


def correspondences(first: list, second: list, tried: int | None = None) -> Correspondences:
    ends = [np.array(x, np.float32).reshape(-1, 2) for x in (first, second)]
    return Correspondences(ends[0], ends[1], len(ends[0]) if tried is None else tried)


@PROPERTY
@given(st.integers(0, 10_000))
def test_at_takes_the_nearest_pixel_and_clips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((5, 8))
    pixels = rng.uniform((-3, -3), (11, 8), (20, 2)).astype(np.float32)
    got = at(image, pixels)
    for value, (u, v) in zip(got, pixels, strict=True):
        column, row = min(max(round(float(u)), 0), 7), min(max(round(float(v)), 0), 4)
        assert value == image[row, column]


def test_within_asks_both_ends() -> None:
    keep1, keep2 = np.ones((4, 6), bool), np.ones((4, 6), bool)
    keep1[1, 2] = keep2[3, 4] = False
    all_of_them = correspondences(
        [[2, 1], [1, 2], [0, 0], [5, 3]], [[3, 1], [4, 3], [1, 0], [5, 2]], tried=9
    )
    kept = all_of_them.within(keep1, keep2)
    assert kept.first.tolist() == [[0, 0], [5, 3]]
    assert kept.second.tolist() == [[1, 0], [5, 2]]
    assert (len(kept), kept.tried) == (2, 3)


def test_median_motion_is_that_of_the_displacements_lengths() -> None:
    three = correspondences([[0, 0], [5, 5], [9, 1]], [[3, 4], [5, 6], [9, 11]])
    assert three.median_motion == 5
    assert correspondences([], []).median_motion == 0
