# SPDX-License-Identifier: Apache-2.0
"""Optical flow on a shifted picture and on the synthetic street; correspondences under masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.tracks import Correspondences, at, optical_flow

Grey = NDArray[np.uint8]


@pytest.fixture(scope="module")
def shifted() -> tuple[Grey, Grey]:
    """Two windows of one picture: what is at (u, v) in the first is at (u - 5, v + 3) then."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    picture = cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return picture[20:148, 20:228].copy(), picture[17:145, 25:233].copy()


def test_a_known_shift_is_found(shifted: tuple) -> None:
    """From the first to the second: five to the left, three down."""
    first, second = shifted
    features = find_features(first)
    found = optical_flow(first, second, features)
    assert found.first.dtype == found.second.dtype == np.float32
    assert found.tried == len(features)
    assert len(found) > 0.8 * found.tried
    motion = found.second - found.first
    assert np.abs(np.median(motion, 0) - (-5, 3)).max() < 0.03
    assert np.abs(motion - (-5, 3)).max() < 0.7
    back = optical_flow(second, first, find_features(second))
    assert np.abs(np.median(back.second - back.first, 0) - (5, -3)).max() < 0.03
    # Every start is one of the features, in their order.
    rows = [np.flatnonzero((features == f).all(1))[0] for f in found.first]
    assert rows == sorted(rows)


def test_a_feature_between_pixels_moves_like_its_neighbours(shifted: tuple) -> None:
    first, second = shifted
    between = find_features(first) + np.float32((0.3, -0.4))
    found = optical_flow(first, second, between)
    assert len(found) > 0.8 * len(between)
    assert np.abs(np.median(found.second - found.first, 0) - (-5, 3)).max() < 0.03


def test_a_feature_that_does_not_come_back_is_dropped(shifted: tuple) -> None:
    first, _ = shifted
    features = find_features(first)
    other = np.random.default_rng(1).integers(0, 256, first.shape).astype(np.uint8)
    loose, strict = optical_flow(first, other, features, 50.0), optical_flow(first, other, features)
    assert len(strict) < 0.2 * len(features)
    assert len(strict) < len(loose)
    assert len(optical_flow(first, other, features, 0.0)) == 0


def test_ends_lie_inside_the_second_image(shifted: tuple) -> None:
    """The image moved 40 pixels to the left: its first 40 columns are gone."""
    first, _ = shifted
    moved = np.roll(first, -40, axis=1)
    found = optical_flow(first, moved, find_features(first), 100.0)
    assert len(found)
    assert (found.second >= 0).all()
    assert (found.second <= (first.shape[1] - 1, first.shape[0] - 1)).all()


def test_no_features_give_no_correspondences() -> None:
    flat = np.full((64, 96), 77, np.uint8)
    found = optical_flow(flat, flat, find_features(flat))
    assert (len(found), found.tried) == (0, 0)


def test_the_street_moves_as_its_truth_says() -> None:
    street = SyntheticStreet("parked", seed=1, frames=30)
    one, two, truth = street[20], street[21], street.truth(20)
    grey1, grey2 = (cv2.cvtColor(f.image, cv2.COLOR_RGB2GRAY) for f in (one, two))
    found = optical_flow(grey1, grey2, find_features(grey1))
    assert len(found) > 200
    u, v = np.rint(found.first).astype(int).T
    error = np.linalg.norm(found.second - found.first - truth.flow[v, u], axis=1)
    # Measured 0.2 px; beyond a pixel are edges of objects in front of other objects.
    assert np.median(error) < 0.4
    assert np.mean(error > 1) < 0.15


# --- correspondences ------------------------------------------------------------------------------


def correspondences(first: list, second: list, tried: int | None = None) -> Correspondences:
    ends = [np.array(x, np.float32).reshape(-1, 2) for x in (first, second)]
    return Correspondences(ends[0], ends[1], len(ends[0]) if tried is None else tried)


@given(st.integers(0, 10_000))
def test_at_takes_the_nearest_pixel_and_clips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((5, 8))
    pixels = rng.uniform((-3, -3), (11, 8), (20, 2)).astype(np.float32)
    got = at(image, pixels)
    for value, (u, v) in zip(got, pixels, strict=True):
        column, row = min(max(round(float(u)), 0), 7), min(max(round(float(v)), 0), 4)
        assert value == image[row, column]


def test_within_needs_both_ends_unmasked() -> None:
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
