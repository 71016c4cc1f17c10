# SPDX-License-Identifier: Apache-2.0
"""The chain of static poses against known paths, and its covariance against many draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from steps import Float, alone, estimate, paired, rigid

from depth_recog.method.geometry.se3 import exp_twist, log_twist
from depth_recog.method.pair import Step
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.trajectory import AGREEING_PAIRS, DEPTH_SHARE, HORIZON_S, Place, Trajectory

SECOND = 10**9
TENTH = SECOND // 10
FORWARD = rigid((0, 0, 0), (0, 0, -1))
numbers = st.floats(-1.5, 1.5)


@given(st.lists(numbers, min_size=6, max_size=6))
def test_a_twist_is_the_matrix_exponential(values: list[float]) -> None:
    twist = np.array(values)
    x, y, z = twist[:3]
    generator = np.zeros((4, 4))
    generator[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    generator[:3, 3] = twist[3:]
    expected = torch.linalg.matrix_exp(torch.from_numpy(generator)).numpy()
    np.testing.assert_allclose(exp_twist(twist), expected, atol=1e-12)
    np.testing.assert_allclose(log_twist(exp_twist(twist)), twist, atol=1e-8)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-5, 1e-3])
def test_log_twist_is_exact_for_small_angles(angle: float) -> None:
    twist = np.array((angle, -angle, angle / 2, 1.0, 2.0, -3.0))
    np.testing.assert_allclose(log_twist(exp_twist(twist)), twist, rtol=1e-9, atol=1e-12)


def drive(count: int, seed: int = 0) -> list[Float]:
    """Poses T_first_from_frame of a bumpy drive."""
    rng = np.random.default_rng(seed)
    poses = [np.eye(4)]
    for _ in range(count - 1):
        step = rigid(rng.normal(0, 0.05, 3), (0, 0, 1) + rng.normal(0, 0.1, 3))
        poses.append(poses[-1] @ step)
    return poses


def between(poses: list[Float], first: int, second: int) -> Float:
    return np.linalg.inv(poses[second]) @ poses[first]


def seen(poses: list[Float], first: int, second: int) -> Step:
    """The exact pair of two frames of a drive at 10 Hz."""
    motion = np.linalg.inv(poses[second]) @ poses[first]
    return paired(first * TENTH, second * TENTH, estimate(motion))


@pytest.mark.parametrize("gaps", [[1], [3], [1, 2, 4], [5, 1]])
def test_the_path_does_not_depend_on_the_partners(gaps: list[int]) -> None:
    poses = drive(12)
    trajectory = Trajectory()
    np.testing.assert_array_equal(trajectory.add(alone(0)).T_first_from_frame, np.eye(4))
    for i in range(1, 12):
        got = trajectory.add(seen(poses, max(0, i - gaps[i % len(gaps)]), i))
        np.testing.assert_allclose(got.T_first_from_frame, poses[i], atol=1e-12)


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_the_velocity_of_a_constant_motion_is_the_same_over_every_gap(gap: int) -> None:
    """In the camera's axes, per second: a bend at 8 m/s."""
    twist = np.array((0.0, 0.4, 0.0, 0.0, 0.0, 8.0))
    poses = [exp_twist(twist * i / 10) for i in range(8)]
    trajectory = Trajectory()
    trajectory.add(alone(0))
    for i in range(1, 8):
        got = trajectory.add(seen(poses, max(0, i - gap), i))
        np.testing.assert_allclose(got.twist, twist, atol=1e-9)


def constant(variance: float = 0.0) -> tuple[Trajectory, Place]:
    """A drive straight ahead at 10 m/s, three frames long."""
    trajectory = Trajectory()
    trajectory.add(alone(0))
    for i in (1, 2):
        found = estimate(FORWARD, np.eye(6) * variance)
        place = trajectory.add(paired((i - 1) * TENTH, i * TENTH, found))
    return trajectory, place


def missing(kind: str, stamp: int) -> object:
    if kind == "no pair":
        return alone(stamp)
    if kind == "no pose":
        return paired(stamp - TENTH, stamp, PoseEstimate(why="too dark"))
    return paired(77, stamp, estimate(rigid((1, 0, 0), (5, 5, 5))))


@pytest.mark.parametrize("kind", ["no pair", "no pose", "unknown partner"])
def test_the_motion_goes_on_where_a_pose_is_missing(kind: str) -> None:
    trajectory, _ = constant()
    for frames, z in ((1, 3.0), (2, 4.0), (3, 5.0)):
        got = trajectory.add(missing(kind, (2 + frames) * TENTH))
        assert got.T_first_from_frame[2, 3] == pytest.approx(z)
        assert got.twist[5] == pytest.approx(10)


def test_the_motion_goes_on_by_time_and_not_by_frames() -> None:
    trajectory, _ = constant()
    trajectory.add(alone(2 * TENTH + TENTH // 4))
    got = trajectory.add(alone(4 * TENTH))
    assert got.T_first_from_frame[2, 3] == pytest.approx(4)


def test_a_long_gap_ends_the_motion_and_not_the_path() -> None:
    """The odometry must not jump: REP 105."""
    trajectory, _ = constant()
    got = trajectory.add(alone(60 * SECOND))
    assert got.T_first_from_frame[2, 3] == pytest.approx(2 + 10 * HORIZON_S)
    assert not got.twist.any()
    assert got.twist_covariance[5, 5] > 10**2
    later = trajectory.add(alone(61 * SECOND))
    np.testing.assert_array_equal(later.T_first_from_frame, got.T_first_from_frame)
    step = paired(61 * SECOND, 61 * SECOND + TENTH, estimate(FORWARD))
    assert trajectory.add(step).T_first_from_frame[2, 3] == pytest.approx(3 + 10 * HORIZON_S)


@pytest.mark.parametrize("gap", [0.3, 0.8])
def test_the_twist_is_as_uncertain_as_the_unmeasured_acceleration(gap: float) -> None:
    """0.5 rad/s^2 and 3 m/s^2; beyond the horizon the motion may have ended, too."""
    trajectory, before = constant()
    got = trajectory.add(alone(2 * TENTH + round(gap * SECOND)))
    std = np.repeat((0.5, 3.0), 3) * gap
    if gap > HORIZON_S:
        std += np.abs(before.twist)
    depth = DEPTH_SHARE**2 * np.diag((0, 0, 0, *(got.twist[3:] ** 2)))
    np.testing.assert_allclose(got.twist_covariance, np.diag(std**2) + depth, atol=1e-9)


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=8))
def test_the_covariance_grows_with_the_unmeasured_time_alone(pauses: list[float]) -> None:
    """The number of frames without a pose does not matter."""
    many, before = constant(variance=1e-6)
    once, _ = constant(variance=1e-6)
    now, last = 2 * TENTH, before.covariance
    for pause in pauses:
        now += round(pause * SECOND)
        place = many.add(alone(now))
        assert (np.diag(place.covariance - last) > 0).all()
        last = place.covariance
    alike = once.add(alone(now))
    np.testing.assert_allclose(place.T_first_from_frame, alike.T_first_from_frame, atol=1e-9)
    np.testing.assert_allclose(place.covariance, alike.covariance, rtol=1e-6, atol=1e-9)
    gap = (now - 2 * TENTH) / SECOND
    least = (3 * gap**2 / 2) ** 2
    assert (np.diag(place.covariance)[3:] >= least).all()


def test_nothing_is_known_of_the_speed_at_first() -> None:
    trajectory = Trajectory()
    first = trajectory.add(alone(0))
    assert not first.covariance.any()
    assert (np.diag(first.twist_covariance)[3:] >= 100).all()
    second = trajectory.add(alone(TENTH))
    assert (np.diag(second.covariance)[3:] >= 1).all()


def test_time_that_goes_back_starts_a_new_path() -> None:
    trajectory, _ = constant()
    got = trajectory.add(alone(2 * TENTH - SECOND))
    np.testing.assert_array_equal(got.T_first_from_frame, np.eye(4))
    assert not got.covariance.any()
    stale = paired(TENTH, 3 * TENTH, estimate(FORWARD))
    assert not trajectory.add(stale).T_first_from_frame[:3, 3].any()


@pytest.mark.parametrize("back_ns", [0, 1, TENTH])
def test_a_clock_set_back_a_little_moves_nothing(back_ns: int) -> None:
    trajectory, before = constant()
    got = trajectory.add(alone(2 * TENTH - back_ns))
    np.testing.assert_array_equal(got.T_first_from_frame, before.T_first_from_frame)
    assert np.isfinite(got.covariance).all()


def perturbed(T: Float, off: Float) -> Float:
    """As PoseEstimate has it: exp(r) R, t + dt."""
    result = rigid(off[:3], (0, 0, 0)) @ T
    result[:3, 3] = T[:3, 3] + off[3:]
    return result


def difference(pose: Float, truth: Float) -> Float:
    """(6,) of a pose as a perturbation of the true one."""
    turned = log_twist(
        np.block([[pose[:3, :3] @ truth[:3, :3].T, np.zeros((3, 1))], [np.eye(4)[3:]]])
    )
    return np.concatenate((turned[:3], pose[:3, 3] - truth[:3, 3]))


PARTNERS = [0, 0, 1, 1, 3, 4, 5]
"""Of frames 1 to 7: some pairs skip frames."""


def noise_of(rng: np.random.Generator) -> Float:
    scale = np.array((1e-3,) * 3 + (2e-3,) * 3)[:, None]
    root = (np.eye(6) + 0.3 * rng.normal(0, 1, (6, 6))) * scale
    return root @ root.T


def test_the_covariance_is_that_of_many_draws() -> None:
    poses = drive(8, seed=3)
    rng = np.random.default_rng(5)
    covariances = [noise_of(rng) for _ in PARTNERS]
    roots = [np.linalg.cholesky(c) for c in covariances]
    off, twists = [], []
    for _ in range(3000):
        trajectory = Trajectory()
        trajectory.add(alone(0))
        for i, (k, root) in enumerate(zip(PARTNERS, roots, strict=True), 1):
            T = perturbed(between(poses, k, i), root @ rng.normal(0, 1, 6))
            step = paired(k * TENTH, i * TENTH, estimate(T, np.eye(6)))
            place = trajectory.add(step)
        off.append(difference(place.T_first_from_frame, poses[-1]))
        twists.append(place.twist)
    exact = Trajectory()
    exact.add(alone(0))
    for i, (k, covariance) in enumerate(zip(PARTNERS, covariances, strict=True), 1):
        T = between(poses, k, i)
        place = exact.add(paired(k * TENTH, i * TENTH, estimate(T, covariance)))
    position, speed = place.T_first_from_frame[:3, 3], place.twist[3:]
    path, twist = place.covariance.copy(), place.twist_covariance.copy()
    # A scale that is wrong everywhere moves the place along the line to the origin.
    path[3:, 3:] -= DEPTH_SHARE**2 * np.outer(position, position)
    twist[3:, 3:] -= DEPTH_SHARE**2 * np.outer(speed, speed)
    # Against the drawn spread, in units of the claimed deviations: 3000 draws leave 4 %. The
    # twist's is for small turns, and the last one is of 0.1 rad.
    for claimed, drawn, within in (
        (path / AGREEING_PAIRS, np.cov(np.array(off).T), 0.13),
        (twist, np.cov(np.array(twists).T), 0.25),
    ):
        root = np.linalg.inv(np.linalg.cholesky(claimed))
        np.testing.assert_allclose(root @ drawn @ root.T, np.eye(6), atol=within)


def test_a_pose_that_knows_no_covariance_makes_it_unknown() -> None:
    trajectory, _ = constant(variance=1e-6)
    got = trajectory.add(paired(2 * TENTH, 3 * TENTH, estimate(FORWARD, None)))
    assert np.isnan(got.covariance).all()
    assert got.T_first_from_frame[2, 3] == pytest.approx(3)
