# SPDX-License-Identifier: Apache-2.0
"""The road's plane, and depth from ground contact, on roads that are known exactly."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.method.gate import ground
from depth_recog.method.gate.ground import Plane, contact_depth, fit_plane
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(width=416, height=128, fx=241.7, fy=246.3, cx=204.0, cy=58.8)
LEVEL, TILTED = Plane(0.0, 0.0, 1.65), Plane(0.02, -0.01, 1.65)
Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


def road_of(plane: Plane) -> NDArray[np.float32]:
    """(128, 416) depth of that plane, written out by pixel; inf where it is not met."""
    v, u = np.mgrid[:128, :416]
    # v: y = slope x + incline z + height, and y = (v - cy) / fy z, x likewise.
    along = (v - CAMERA.cy) / CAMERA.fy - plane.slope * (u - CAMERA.cx) / CAMERA.fx - plane.incline
    with np.errstate(divide="ignore"):
        depth = np.where(along > 1e-6, plane.height / np.where(along > 1e-6, along, 1.0), np.inf)
    return depth.astype(np.float32)


# --- the plane ------------------------------------------------------------------------------------


@given(st.floats(-0.2, 0.2), st.floats(-0.08, 0.08), st.floats(0.4, 3.0))
def test_a_plane_is_found_exactly(slope: float, incline: float, height: float) -> None:
    plane = Plane(slope, incline, height)
    depth = road_of(plane)
    found = fit_plane(depth, depth < 40, CAMERA)
    near = (depth > ground.NEAR) & (depth < ground.FAR)
    if found is None:
        nearest, farthest = np.percentile(depth[near], (10, 90)) if near.any() else (1.0, 1.0)
        assert near.sum() < 3000 or farthest < 1.4 * nearest, "too little road only"
        return
    np.testing.assert_allclose(found, plane, atol=1e-4)


@pytest.mark.parametrize("factors", [(0.6, 1.6), (0.8, 0.8), (1.5, 1.5), (3.0, 3.0)])
def test_outliers_do_not_bend_it(factors: tuple[float, float]) -> None:
    """A fifth of the road's pixels are wrong, at random or all on one side of the plane."""
    depth, rng = road_of(TILTED), np.random.default_rng(0)
    wrong = rng.random(depth.shape) < 0.2
    spoilt = depth * rng.uniform(*factors, depth.shape)
    found = fit_plane(np.where(wrong, spoilt, depth).astype(np.float32), depth < 40, CAMERA)
    np.testing.assert_allclose(found, TILTED, atol=0.002)


def test_a_wall_in_the_road_mask_does_not_bend_it() -> None:
    depth, road = road_of(TILTED), road_of(TILTED) < 40
    depth[70:110, 300:] = np.minimum(depth[70:110, 300:], 6)
    np.testing.assert_allclose(fit_plane(depth, road, CAMERA), TILTED, atol=0.002)


def test_noise_is_averaged() -> None:
    depth = road_of(TILTED)
    noise = np.exp(np.random.default_rng(1).normal(0, 0.03, depth.shape)).astype(np.float32)
    found = fit_plane(depth * noise, depth < 40, CAMERA)
    np.testing.assert_allclose(found, TILTED, atol=0.03)


def test_pixels_near_the_border_of_the_road_are_left_out() -> None:
    """Two pixels around a hole: masks are wrong there."""
    depth, road = road_of(LEVEL), road_of(LEVEL) < 40
    road[70:128, 100:300:8] = False
    edge = road & np.any([np.roll(~road, shift, 1) for shift in (-2, -1, 1, 2)], 0)
    found = fit_plane(np.where(edge, depth * np.float32(0.7), depth), road, CAMERA)
    np.testing.assert_allclose(found, LEVEL, atol=1e-4)


def test_no_plane_where_none_is_visible() -> None:
    depth = road_of(LEVEL)
    nowhere = np.zeros(depth.shape, bool)
    assert fit_plane(depth, nowhere, CAMERA) is None
    speck = nowhere.copy()
    speck[100:110, 100:110] = True
    assert fit_plane(depth, speck, CAMERA) is None, "too few pixels"
    strip = nowhere.copy()
    strip[100:107] = True
    assert fit_plane(depth, strip, CAMERA) is None, "near and far are alike"
    everywhere = ~nowhere
    assert fit_plane(np.full_like(depth, 10), everywhere, CAMERA) is None, "a wall"
    assert fit_plane(np.full_like(depth, np.nan), everywhere, CAMERA) is None
    assert fit_plane(road_of(LEVEL)[::-1], everywhere, CAMERA) is None, "above, not below"


def test_distance_is_the_perpendicular() -> None:
    plane = Plane(0.3, -0.4, 1.7)
    # The point of the plane with the smallest norm.
    row = np.array([[plane.slope, -1.0, plane.incline]])
    nearest = np.linalg.lstsq(row, np.array([-plane.height]))[0]
    assert plane.distance == pytest.approx(np.linalg.norm(nearest))


# --- ground contact -------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_first_free_row_is_what_a_loop_finds(seed: int, full: float) -> None:
    mask = np.random.default_rng(seed).random((9, 7)) < full
    rows, columns = np.divmod(np.arange(9 * 7), 7)
    got = ground.first_free_row(mask, columns, rows).reshape(9, 7)
    for v, u in np.ndindex(9, 7):
        row = v
        while row < 9 and mask[row, u]:
            row += 1
        assert got[v, u] == row


@dataclass
class Street:
    """A level road with one object on it at `distance`, an upright board of 60 columns."""

    distance: float = 10.0

    def __post_init__(self) -> None:
        self.depth = road_of(LEVEL)
        self.bottom = round(CAMERA.cy + CAMERA.fy * LEVEL.height / self.distance + 0.5)
        self.objects = np.zeros((128, 416), bool)
        self.objects[50 : self.bottom, 180:240] = True
        self.depth[self.objects] = self.distance
        self.ground: Mask = np.isfinite(self.depth) & ~self.objects
        self.features = np.array([[190.0, 60.0], [210.0, self.bottom - 3.0]], np.float32)

    def contact(self, plane: Plane | None = LEVEL) -> tuple[NDArray[np.float32], Float]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return contact_depth(
                self.features, self.depth, self.objects, self.ground, plane, CAMERA
            )

    def contact_std(self) -> float:
        """Standard deviation of the contact's log depth, by numeric differentiation."""
        rows = self.bottom - 0.5 + np.array((-1e-4, 1e-4))
        by_row = np.diff(np.log(LEVEL.height * CAMERA.fy / (rows - CAMERA.cy)))[0] / 2e-4
        return float(np.hypot(ground.CONTACT_STD, ground.CONTACT_PIXELS * by_row))


@pytest.mark.parametrize("distance", [6.5, 8.0, 15.0])
def test_contact_and_a_right_depth_agree(distance: float) -> None:
    street = Street(distance)
    depth, std = street.contact()
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, distance, rtol=0.5 / (street.bottom - CAMERA.cy))
    np.testing.assert_allclose(std, street.contact_std(), rtol=1e-6)
    assert street.contact_std() < ground.CONTACT_STD + 0.03


@pytest.mark.parametrize("wrong", [8.0, 1.15, 0.85, 0.3])
def test_a_contact_replaces_the_networks_depth(wrong: float) -> None:
    """The network is a bit wrong, or explains the motion of a car by a wrong depth."""
    street = Street()
    street.depth[street.objects] *= np.float32(wrong)
    depth, std = street.contact()
    contact = LEVEL.height * CAMERA.fy / (street.bottom - 0.5 - CAMERA.cy)
    np.testing.assert_allclose(depth, contact, rtol=1e-5)
    np.testing.assert_allclose(std, street.contact_std(), rtol=1e-6)


def test_the_planes_slope_counts() -> None:
    """The same picture on a road that falls to the right and rises ahead."""
    plane = Plane(0.1, -0.03, 1.5)
    street = Street()
    depth, _ = street.contact(plane)
    ray = (street.bottom - 0.5 - CAMERA.cy) / CAMERA.fy
    for i, (u, _) in enumerate(street.features):
        contact = plane.height / (ray - plane.slope * (u - CAMERA.cx) / CAMERA.fx - plane.incline)
        assert depth[i] == pytest.approx(contact, rel=1e-5)
    assert depth[0] != pytest.approx(depth[1], rel=1e-3)


@pytest.mark.parametrize("case", ["no ground", "cut off by the image", "no plane"])
def test_without_a_contact_the_networks_depth_stays(case: str) -> None:
    street = Street()
    if case == "no ground":
        street.ground[street.bottom :] = False
    if case == "cut off by the image":
        street.objects[50:, 180:240] = True
        street.depth[50:, 180:240] = 10
        street.ground &= ~street.objects
    own = street.depth[[60, street.bottom - 3], [190, 210]]
    depth, std = street.contact(None if case == "no plane" else LEVEL)
    np.testing.assert_array_equal(depth, own)
    np.testing.assert_array_equal(std, ground.NETWORK_STD)


def test_another_object_in_front_hides_the_contact() -> None:
    """Both form one component of the mask; their depths differ."""
    street = Street()
    street.objects[street.bottom : street.bottom + 14, 170:250] = True
    street.depth[64 : street.bottom + 14, 170:250] = 7
    street.ground &= ~street.objects
    street.features = np.array([[190.0, 60.0], [190.0, 70.0]], np.float32)
    depth, std = street.contact()
    assert depth[0] == 10
    assert std[0] == ground.NETWORK_STD
    assert depth[1] == pytest.approx(7, rel=0.1)
    assert std[1] < ground.NETWORK_STD, "the object in front has a contact"


def test_a_contact_above_the_horizon_is_ignored() -> None:
    street = Street()
    street.objects[:] = False
    street.objects[20:40, 180:240] = True
    street.depth[20:40, 180:240] = 10
    street.ground[40:60] = True
    street.features = np.array([[190.0, 30.0]], np.float32)
    depth, std = street.contact()
    assert depth[0] == 10
    assert std[0] == ground.NETWORK_STD


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_an_invalid_depth_is_left_as_it_is(value: float) -> None:
    street = Street()
    street.depth[street.objects] = value
    depth, std = street.contact()
    np.testing.assert_array_equal(depth, np.float32(value))
    np.testing.assert_array_equal(std, ground.NETWORK_STD)


@pytest.mark.parametrize("pixel", [(-0.4, 60.0), (415.4, 60.0), (200.0, 127.4), (200.0, -0.4)])
def test_features_at_the_border(pixel: tuple[float, float]) -> None:
    street = Street()
    street.objects[:] = True
    street.features = np.array([pixel], np.float32)
    depth, _ = street.contact()
    assert depth.shape == (1,)
