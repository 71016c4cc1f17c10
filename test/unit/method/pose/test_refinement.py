# SPDX-License-Identifier: Apache-2.0
"""A pose refined with the depth's errors marginalised: derivatives, accuracy, honesty."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.method.geometry import se3
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import (
    CELLS,
    Refined,
    cells_of,
    linearised,
    median,
    refine,
    robust_std,
)

CAMERA = Camera(width=416, height=128, fx=241.7, fy=246.3, cx=204.0, cy=58.8)
MOTION = (0.004, -0.02, 0.006, 0.08, -0.03, -0.9)
PIXEL, DEPTH = 0.2, 0.25
Float = NDArray[np.float64]
DepthError = Callable[[np.random.Generator, NDArray[np.float32]], Float]


def matrix(vector: tuple[float, ...]) -> Float:
    return se3.from_vector(np.asarray(vector, np.float64))


def project(points: Float, T: Float) -> Float:
    x, y, z = (points @ T[:3, :3].T + T[:3, 3]).T
    return np.stack((CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy), 1)


def exact(_rng: np.random.Generator, pixels: NDArray[np.float32]) -> Float:
    return np.zeros(len(pixels))


def independent(rng: np.random.Generator, pixels: NDArray[np.float32]) -> Float:
    return rng.normal(0, DEPTH, len(pixels))


def by_cell(rng: np.random.Generator, pixels: NDArray[np.float32]) -> Float:
    return rng.normal(0, DEPTH, 1000)[cells_of(pixels, CAMERA.width)]


def draw(
    seed: int, error: DepthError = exact, outliers: float = 0.0, noise: float = PIXEL
) -> tuple[Float, Float, NDArray[np.float32]]:
    """Points as D1 has them, where they are seen in I2, and where in I1."""
    rng = np.random.default_rng(seed)
    first = rng.uniform((0, 0), (416, 128), (300, 2)).astype(np.float32)
    z = rng.uniform(4, 60, 300)
    x, y = CAMERA.rays(*first.T)
    rays = np.stack((x, y, np.ones_like(z)), 1)
    seen = project(rays * z[:, None], matrix(MOTION)) + rng.normal(0, noise, (300, 2))
    wrong = round(outliers * 300)
    seen[:wrong] += rng.uniform(3, 30, (wrong, 2)) * rng.choice((-1, 1), (wrong, 2))
    return rays * (z * np.exp(error(rng, first)))[:, None], seen, first


def refined(seed: int, error: DepthError = exact, outliers: float = 0.0) -> Refined:
    points, seen, first = draw(seed, error, outliers)
    start = matrix((0.006, -0.018, 0.004, 0.05, -0.0, -0.8))
    return refine(points, seen, first, start, CAMERA)


def off(estimate: Float) -> Float:
    """Rotation vector and translation by which a pose is off."""
    T = matrix(MOTION)
    turned = cv2.Rodrigues(estimate[:3, :3] @ T[:3, :3].T)[0][:, 0]
    return np.concatenate((turned, estimate[:3, 3] - T[:3, 3]))


def plain(points: Float, seen: Float) -> Float:
    """Least squares as OpenCV has it, from the truth."""
    T = matrix(MOTION)
    rotation, translation = cv2.solvePnPRefineLM(
        points, seen, CAMERA.matrix, None, cv2.Rodrigues(T[:3, :3])[0], T[:3, 3:].copy()
    )
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return result


@given(st.integers(0, 10_000))
def test_derivatives_are_those_of_differences(seed: int) -> None:
    points, seen, _ = draw(seed, independent)
    T = matrix(tuple(np.random.default_rng(seed).uniform(-0.3, 0.3, 6)))
    residual, by_motion, by_log_depth, front = linearised(points.T, seen.T, T, CAMERA)
    assert front.all()
    np.testing.assert_allclose(residual.T, seen - project(points, T), atol=1e-9)
    h = 1e-6
    for k, step in enumerate(h * np.eye(6)):
        ends = []
        for sign in (1, -1):
            moved = T.copy()
            moved[:3, :3] = cv2.Rodrigues(sign * step[:3])[0] @ T[:3, :3]
            moved[:3, 3] += sign * step[3:]
            ends.append(project(points, moved))
        np.testing.assert_allclose(by_motion[k].T, (ends[0] - ends[1]) / (2 * h), atol=1e-4)
    nearer, farther = (project(points * np.exp(s * h), T) for s in (-1, 1))
    np.testing.assert_allclose(by_log_depth.T, (farther - nearer) / (2 * h), atol=1e-4)


def test_points_behind_the_camera_are_ignored() -> None:
    points, seen, first = draw(0)
    points[:50, 2] = -5.0
    T = matrix(MOTION)
    assert linearised(points.T, seen.T, T, CAMERA)[3].tolist() == [False] * 50 + [True] * 250
    found = refine(points, seen, first, T, CAMERA)
    assert not found.inliers[:50].any()
    others = refine(points[50:], seen[50:], first[50:], T, CAMERA)
    np.testing.assert_allclose(found.T_second_from_first, others.T_second_from_first, atol=1e-3)


def test_a_camera_that_rolls_by_half_a_turn_is_followed() -> None:
    """The steps rotate in the second camera's axes: in the first's they would diverge."""
    points, _, first = draw(0)
    T = matrix((0.0, 0.0, 2.5, 0.1, 0.05, -0.9))
    start = matrix((0.02, -0.02, 2.48, 0.1, 0.05, -0.8))
    found = refine(points, project(points, T), first, start, CAMERA)
    np.testing.assert_allclose(found.T_second_from_first, T, atol=1e-5)


@pytest.mark.parametrize("error", [independent, by_cell])
def test_a_wrong_depth_hardly_harms_rotation_and_direction(error: DepthError) -> None:
    """Depth off by a quarter: it harms least squares, here mainly the length."""
    ours, theirs = [], []
    for seed in range(30):
        points, seen, _ = draw(seed, error)
        for estimate, rows in (
            (refined(seed, error).T_second_from_first, ours),
            (plain(points, seen), theirs),
        ):
            t, truth = estimate[:3, 3], np.array(MOTION[3:])
            cosine = t @ truth / np.linalg.norm(t) / np.linalg.norm(truth)
            rows.append((np.linalg.norm(off(estimate)[:3]), np.arccos(min(cosine, 1.0))))
    gain = np.median(theirs, axis=0) / np.median(ours, axis=0)
    # Measured 4.3 and 10.5 (independent), 5.8 and 13.0 (by cell).
    assert (gain > (2.5, 5)).all()


def test_with_exact_depth_it_is_as_good_as_least_squares() -> None:
    """Without depth errors the estimate of d is small."""
    ours = [np.linalg.norm(off(refined(s).T_second_from_first)[:3]) for s in range(30)]
    theirs = [np.linalg.norm(off(plain(*draw(s)[:2]))[:3]) for s in range(30)]
    assert np.median(ours) < 1.3 * np.median(theirs)


@pytest.mark.parametrize("outliers", [0.1, 0.3])
def test_outliers_are_found_and_have_little_influence(outliers: float) -> None:
    wrong = round(300 * outliers)
    for seed in range(5):
        found = refined(seed, outliers=outliers)
        assert found.inliers[:wrong].mean() < 0.25
        assert found.inliers[wrong:].mean() > 0.9
        assert np.degrees(np.linalg.norm(off(found.T_second_from_first)[:3])) < 0.1


@pytest.mark.parametrize("error", [exact, independent, by_cell])
def test_the_covariance_covers(error: DepthError) -> None:
    """Squared Mahalanobis distances, over their 6 degrees of freedom, have mean 1 or less.

    Less, since a cell's points count as one measurement, and here their errors are independent.
    """
    squares = []
    for seed in range(60):
        found = refined(seed, error)
        wrong = off(found.T_second_from_first)
        squares.append(wrong @ np.linalg.solve(found.covariance, wrong) / 6)
    # Measured 0.34 (exact), 0.55 (independent), 0.62 (by cell).
    assert 0.2 < np.mean(squares) < 1.0
    # A few draws are beyond 95 % of the distribution with 6 degrees of freedom, not many.
    assert np.mean(np.array(squares) * 6 > 12.59) < 0.05


@given(st.floats(0.01, 100.0), st.integers(0, 100))
def test_the_depths_unit_is_that_of_translation_and_covariance(scale: float, seed: int) -> None:
    points, seen, first = draw(seed, independent)
    start = matrix(MOTION)
    one = refine(points, seen, first, start, CAMERA)
    larger = start.copy()
    larger[:3, 3] *= scale
    other = refine(points * scale, seen, first, larger, CAMERA)
    units = np.array([1, 1, 1, scale, scale, scale])
    T, scaled = one.T_second_from_first, other.T_second_from_first
    np.testing.assert_allclose(scaled[:3, :3], T[:3, :3], atol=1e-9)
    np.testing.assert_allclose(scaled[:3, 3], scale * T[:3, 3], rtol=1e-6)
    # In units of the standard deviations, since some elements are nearly 0.
    sizes = np.sqrt(np.outer(np.diag(one.covariance), np.diag(one.covariance)))
    correlation = one.covariance / sizes
    back = other.covariance / np.outer(units, units) / sizes
    np.testing.assert_allclose(back, correlation, atol=1e-6)
    np.testing.assert_allclose(correlation, correlation.T, atol=1e-9)
    assert (np.linalg.eigvalsh(one.covariance) > 0).all()


def test_cells_are_squares_of_a_share_of_the_width() -> None:
    side = 416 / CELLS
    pixels = np.array([[0, 0], [side - 0.1, side - 0.1], [side + 0.1, 0], [0, side + 0.1]])
    a, b, c, d = cells_of(pixels.astype(np.float32), 416).tolist()
    assert a == b
    assert len({a, c, d}) == 3
    everywhere = np.stack(np.meshgrid(np.arange(416), np.arange(128)), 2).reshape(-1, 2)
    assert len(np.unique(cells_of(everywhere.astype(np.float32), 416))) == CELLS * 4


# --- robust statistics ------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_median_is_numpys(values: list[float]) -> None:
    given_ = np.array(values)
    assert median(given_) == pytest.approx(float(np.median(given_)), rel=1e-12)
    np.testing.assert_array_equal(given_, values, "the values stay as they are")


def test_the_deviation_is_a_normal_distributions_and_outliers_hardly_move_it() -> None:
    values = np.random.default_rng(0).normal(5, 0.3, 100_001)
    assert robust_std(values) == pytest.approx(0.3, rel=0.02)
    values[::20] = 1e6
    assert robust_std(values) == pytest.approx(0.3, rel=0.1)
