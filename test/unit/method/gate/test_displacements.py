# SPDX-License-Identifier: Apache-2.0
"""Displacements and their derivatives, against numeric differentiation and exact scenes."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from steps import rigid

from depth_recog.method.gate import evidence
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(width=416, height=128, fx=241.7, fy=290.3, cx=204.0, cy=58.8)
Float = NDArray[np.float64]


def seen(points: Float) -> Float:
    """Pixels of points (..., 3) of the camera's frame, in float64."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack((CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy), -1)


def lifted(pixels: NDArray[Any], depth: NDArray[Any]) -> Float:
    x, y = CAMERA.rays(*pixels.astype(np.float64).T)
    return np.stack((x, y, np.ones_like(x)), 1) * depth[:, None].astype(np.float64)


def some(seed: int, count: int = 20) -> tuple[Float, NDArray[np.float32], NDArray[np.float32]]:
    """A pose, pixels and depths that numbers of 32 bits hold exactly."""
    rng = np.random.default_rng(seed)
    T = rigid(rng.normal(0, 0.2, 3), rng.normal(0, 0.8, 3))
    pixels = rng.integers(0, (4 * 416, 4 * 128), (count, 2)).astype(np.float32) / 4
    return T, pixels, rng.integers(16, 320, count).astype(np.float32) / 4


class Of(NamedTuple):
    """e, J and A of correspondences."""

    error: Float
    by_depth: Float
    by_pose: Float


def of(T: Float, *correspondences: object) -> Of:
    first, second, depth = (np.asarray(values, np.float32) for values in correspondences)
    return Of(*evidence.displacements(T, first, second, depth, CAMERA))


@given(st.integers(0, 10_000))
def test_derivatives_are_numeric_ones(seed: int) -> None:
    """Central differences of e itself; e falls where the projection rises."""
    T, pixels, depth = some(seed)
    points = lifted(pixels, depth)
    turned = points @ T[:3, :3].T
    got = of(T, pixels, pixels, depth)
    h = 1e-6

    def by(change: object) -> Float:
        up, down = (seen(change(sign * h)) for sign in (1, -1))  # type: ignore[operator]
        return np.asarray((up - down) / (2 * h))

    def close(left: Float, right: Float) -> None:
        np.testing.assert_allclose(left, right, atol=1e-5 * max(1.0, np.abs(right).max()))

    close(got.by_depth, by(lambda s: turned * np.exp(s) + T[:3, 3]))
    for axis, unit in enumerate(np.eye(3)):
        # `unit` is bound in time: each is used within its own turn of the loop.
        moved = by(lambda s, unit=unit: turned + T[:3, 3] + s * unit)
        close(got.by_pose[:, :, 3 + axis], moved)
        turning = by(lambda s, unit=unit: turned @ rigid(s * unit, 0)[:3, :3].T + T[:3, 3])
        close(got.by_pose[:, :, axis], turning)


@given(st.integers(0, 10_000))
def test_a_still_point_has_no_displacement(seed: int) -> None:
    T, pixels, depth = some(seed)
    points = lifted(pixels, depth)
    ends = seen(points @ T[:3, :3].T + T[:3, 3])
    got = of(T, pixels, ends, depth)
    # What float32 pixels allow.
    np.testing.assert_allclose(got.error, 0, atol=1e-6 * (1 + np.abs(ends).max()))


def test_no_displacement_without_motion() -> None:
    _, pixels, depth = some(1)
    got = of(np.eye(4), pixels, pixels, depth)
    np.testing.assert_allclose(got.error, 0, atol=1e-12)
    np.testing.assert_allclose(got.by_depth, 0, atol=1e-12)


@given(st.integers(0, 10_000))
def test_the_displacement_of_a_moving_point_is_along_b(seed: int) -> None:
    """e = B tau to first order: halving tau quarters the remainder."""
    T, pixels, depth = some(seed)
    T[2, 3] = np.abs(T[2, 3])
    tau = np.random.default_rng(seed).normal(0, 0.02, 3)
    points = lifted(pixels, depth) @ T[:3, :3].T + T[:3, 3]
    errors = []
    for scale in (1.0, 0.5):
        got = of(T, pixels, seen(points + scale * tau), depth)
        by_motion = got.by_pose[:, :, 3:]
        errors.append(np.abs(got.error - by_motion @ (scale * tau)).max())
    size = np.abs(by_motion @ tau).max()
    assert errors[0] < 0.05 * size
    assert errors[1] < 0.3 * errors[0] + 1e-4


def test_signs() -> None:
    """Motion to the right shows to the right; an approaching object leaves the centre."""
    T = rigid((0, 0, 0), (0, 0, -1))
    pixel, depth = np.array([[304.0, 98.8]]), np.array([11.0])
    place = lifted(pixel, depth) @ T[:3, :3].T + T[:3, 3]
    right = of(T, pixel, seen(place + (0.5, 0, 0)), depth).error[0]
    down = of(T, pixel, seen(place + (0, 0.5, 0)), depth).error[0]
    nearer = of(T, pixel, seen(place - (0, 0, 0.5)), depth).error[0]
    assert right == pytest.approx((0.5 * CAMERA.fx / 10, 0), abs=1e-4)
    assert down == pytest.approx((0, 0.5 * CAMERA.fy / 10), abs=1e-4)
    assert (nearer > 1).all()


def test_the_displacement_of_a_wrong_depth_is_along_j() -> None:
    """A point nearer than the network predicts moves further."""
    T, pixels, depth = some(3)
    points = lifted(pixels, depth)
    delta = 0.01
    ends = seen((points * np.exp(delta)) @ T[:3, :3].T + T[:3, 3])
    got = of(T, pixels, ends, depth)
    np.testing.assert_allclose(got.error, got.by_depth * delta, atol=0.03 * np.abs(ends).max() / 9)
    large = np.abs(got.by_depth) > 5
    np.testing.assert_array_equal(np.sign(got.error[large]), np.sign(got.by_depth[large]))


@pytest.mark.parametrize("length", [10.0, 10.001, 12.0, 1e6])
def test_a_point_that_ends_behind_the_camera_gives_no_evidence(length: float) -> None:
    """The camera drives through it: no number, no warning, no evidence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = of(rigid((0, 0, 0), (0, 0, -length)), [[250, 70], [3, 4]], [[9, 9], [3, 4]], [10, 10])
    for part in got:
        assert np.isfinite(part).all()
        assert not part.any()
