# SPDX-License-Identifier: Apache-2.0
"""Corners: the quota of the background and of each component."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.method.tracking import features
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.tracks import at

Grey = NDArray[np.uint8]


def noise(seed: int = 0, height: int = 128, width: int = 208, contrast: float = 1.0) -> Grey:
    """Blurred noise: corners everywhere."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 2)
    return np.clip(128 + 600 * contrast * field, 0, 255).astype(np.uint8)


def boxes(seed: int) -> NDArray[np.bool_]:
    """A few rectangles; they may touch."""
    rng = np.random.default_rng(seed)
    dynamic = np.zeros((128, 208), bool)
    for _ in range(rng.integers(0, 6)):
        top, left = rng.integers(0, 120), rng.integers(0, 200)
        height, width = rng.integers(1, 60, 2)
        dynamic[top : top + height, left : left + width] = True
    return dynamic


@given(st.integers(0, 10_000))
def test_background_and_every_component_have_a_quota(seed: int) -> None:
    grey, dynamic = noise(seed % 7), boxes(seed)
    found = find_features(grey, dynamic)
    assert found.dtype == np.float32
    height, width = grey.shape
    assert ((found >= 0) & (found <= (width - 1, height - 1))).all()
    on = at(dynamic, found)
    assert 0 < (~on).sum() <= features.STATIC_FEATURES
    count, labels = cv2.connectedComponents(dynamic.astype(np.uint8), connectivity=8)
    owners = at(labels.astype(np.int32), found)
    for component in range(1, count):
        own = (owners == component).sum()
        assert own <= features.MOST
        assert own >= 5 or (labels == component).sum() <= 400
    assert len(np.unique(found, axis=0)) == len(found), "no corner twice"


def test_without_a_mask_everything_is_background() -> None:
    grey = noise()
    plain = find_features(grey)
    assert len(plain) > 50
    np.testing.assert_array_equal(find_features(grey, np.zeros(grey.shape, bool)), plain)


def test_a_faint_pedestrian_beside_a_sharp_car_keeps_its_share() -> None:
    """With one quota for both the car would take nearly all features."""
    car, person = np.zeros((2, 128, 208), bool)
    car[40:100, 20:140] = True
    person[50:90, 160:172] = True
    grey = np.where(np.arange(208) < 150, noise(), noise(contrast=0.1)).astype(np.uint8)
    assert at(person, find_features(grey, car | person)).sum() >= 7


def test_a_corner_is_where_the_corner_is() -> None:
    """The four corners of a square on a flat background."""
    grey = np.full((128, 208), 60, np.uint8)
    grey[80:110, 150:190] = 200
    dynamic = np.zeros(grey.shape, bool)
    dynamic[70:120, 140:200] = True
    found = find_features(grey, dynamic)
    corners = np.array([[150, 80], [189, 80], [150, 109], [189, 109]])
    nearest = np.linalg.norm(found[:, None] - corners[None], axis=2).min(0)
    assert (nearest <= 2).all()


def test_specks_have_no_features() -> None:
    dynamic = np.zeros((128, 208), bool)
    dynamic[20:23, 30:33] = True
    assert not at(dynamic, find_features(noise(), dynamic)).any()


def test_no_texture_no_features() -> None:
    flat = np.full((64, 96), 77, np.uint8)
    assert find_features(flat, np.eye(64, 96, dtype=bool)).shape == (0, 2)
    assert find_features(flat).shape == (0, 2)


@pytest.mark.parametrize("frame", [12, 40])
def test_every_object_on_the_street_has_features(frame: int) -> None:
    street = SyntheticStreet("street", seed=1, frames=60)
    labels = street.truth(frame).labels
    dynamic = np.isin(labels, (11, 13))
    grey = np.asarray(cv2.cvtColor(street[frame].image, cv2.COLOR_RGB2GRAY), np.uint8)
    count, regions = cv2.connectedComponents(dynamic.astype(np.uint8), connectivity=8)
    owners = at(regions.astype(np.int32), find_features(grey, dynamic))
    sizes = np.bincount(regions.ravel(), minlength=count)
    assert count > 2
    for component in np.flatnonzero(sizes[1:] >= 150) + 1:
        assert (owners == component).sum() >= 5


def test_features_that_are_followed_already_count() -> None:
    """They count towards the background's quota, wherever they are."""
    crowd = np.full((features.STATIC_FEATURES - 5, 2), 4, np.float32)
    assert len(find_features(noise())) > 100
    assert len(find_features(noise(), existing=crowd)) == 5
    assert len(find_features(noise(), existing=np.tile(crowd, (2, 1)))) == 0
