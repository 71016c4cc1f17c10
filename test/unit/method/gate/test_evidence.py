# SPDX-License-Identifier: Apache-2.0
"""The score against the two hypotheses' densities, written out; the velocity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.method.gate import evidence
from depth_recog.method.settings import Settings

Float = NDArray[np.float64]
FOCAL = 241.7
AHEAD = np.array((0.0, 0.0, 1.0))
SIDEWAYS = np.array((1.0, 0.0, 0.0))
CERTAIN = np.zeros((6, 6))


def by_motion(u: float, v: float, depth: float) -> Float:
    """(2, 3) B of a point that is seen at (u, v) pixels off the centre."""
    f = FOCAL / depth
    return np.array([[f, 0, -u / depth], [0, f, -v / depth]])


def views(rng: np.random.Generator, count: int, seconds: float = 0.1) -> tuple[Float, Float, Float]:
    """J (count, 2), B (count, 2, 3), A (count, 2, 6) of an object that a camera drives past."""
    J, B = [], []
    for i in range(count):
        depth = 20 - 8 * seconds * i
        u, v = 1200 / depth, 300 / depth
        b = by_motion(u, v, depth)
        J.append(b @ (np.array((u, v, FOCAL)) / FOCAL * (depth + 8 * seconds)))
        B.append(b)
    A = np.concatenate((rng.normal(0, 50, (count, 2, 3)), B), 2)
    return np.array(J), np.array(B), A


def gathered(
    e: Float, J: Float, B: Float, A: Float, seconds: float = 0.1, pose: Float = CERTAIN
) -> tuple[Float, Float]:
    """The summed information (1, 4, 4), (1, 4) of one feature's displacements, one at a time.

    The translation's columns of A are B.
    """
    A = np.concatenate((A[:, :, :3], B), 2)
    information, vector = np.zeros((1, 4, 4)), np.zeros((1, 4))
    for i in range(len(e)):
        one = e[i : i + 1], J[i : i + 1], A[i : i + 1]
        more = evidence.information_of(*one, seconds, pose, np.ones((1, 1)))
        information += more[0]
        vector += more[1]
    return information, vector


def direction(rng: np.random.Generator) -> Float:
    """(3,) any unit vector."""
    along = rng.normal(size=3)
    return along / np.linalg.norm(along)


def log_density(x: Float, covariance: Float) -> float:
    """Of a Gaussian of mean 0 in place x, written out."""
    sign, size = np.linalg.slogdet(2 * np.pi * covariance)
    assert sign > 0
    return float(-0.5 * (size + x @ np.linalg.inv(covariance) @ x))


def slow_score(
    e: Float, *derivatives: Float, seconds: float, pose: Float, along: Float, depth_std: float
) -> float:
    """Twice the log Bayes factor: all displacements as one Gaussian vector, each hypothesis."""
    J, B, A = derivatives
    A = np.concatenate((A[:, :, :3], B), 2)
    noise = np.zeros((2 * len(e), 2 * len(e)))
    for i, by_pose in enumerate(A):
        own = evidence.PIXEL_STD**2 * np.eye(2) + by_pose @ pose @ by_pose.T
        noise[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = own * seconds / evidence.STANDARD_GAP_S
    by_depth = J.reshape(-1, 1)
    by_speed = (B * seconds).reshape(-1, 3)
    still = noise + depth_std**2 * by_depth @ by_depth.T
    x = e.reshape(-1)
    outer = np.outer(along, along)
    across = evidence.SIDEWAYS_STD**2 * (np.eye(3) - outer)
    covariances = evidence.SPEED_STD**2 * np.eye(3), evidence.ALONG_STD**2 * outer + across
    densities = [log_density(x, still + by_speed @ V @ by_speed.T) for V in covariances]
    moving = np.log(np.mean(np.exp(np.array(densities) - max(densities)))) + max(densities)
    return float(2 * (moving - log_density(x, still)))


# --- the score ------------------------------------------------------------------------------------


@given(
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.sampled_from([0.05, 0.1, 0.2, 0.4]),
    st.sampled_from([0.05, 0.15, 0.3]),
)
def test_the_score_is_the_bayes_factor(
    seed: int, count: int, seconds: float, depth_std: float
) -> None:
    rng = np.random.default_rng(seed)
    J, B, A = views(rng, count, seconds)
    J, B = J + rng.normal(0, 3, J.shape), B + rng.normal(0, 3, B.shape)
    e = rng.normal(0, 2, (count, 2))
    root = rng.normal(0, 0.003, (6, 6))
    pose = root @ root.T
    along = direction(rng)
    information, vector = gathered(e, J, B, A, seconds, pose)
    got = evidence.score(information, vector, along, depth_std)
    priors = {"seconds": seconds, "pose": pose, "along": along, "depth_std": depth_std}
    expected = slow_score(e, J, B, A, **priors)
    assert got.shape == (1,)
    assert got[0] == pytest.approx(expected, rel=1e-8, abs=1e-8)
    three = np.repeat(information, 3, 0), np.repeat(vector, 3, 0)
    several = evidence.score(*three, along, np.array((0.01, depth_std, 1.0)))
    assert several[1] == pytest.approx(got[0]), "each with its own standard deviation"
    assert len(set(several)) == 3


def scored(
    motion: Float,
    along: Float = AHEAD,
    wrong_depth: float = 0.0,
    count: int = 5,
    seconds: float = 0.1,
) -> float:
    """Score of an object with this velocity, in units per second, without noise."""
    J, B, A = views(np.random.default_rng(0), count, seconds)
    e = B @ (motion * seconds) + J * wrong_depth
    return float(evidence.score(*gathered(e, J, B, A, seconds), along)[0])


@pytest.mark.parametrize("along", [SIDEWAYS, AHEAD])
def test_no_displacement_is_no_evidence(along: Float) -> None:
    nothing = evidence.nothing(np.arange(3))
    assert evidence.score(nothing.information, nothing.vector, along) == pytest.approx(np.zeros(3))


@pytest.mark.parametrize("along", [SIDEWAYS, AHEAD])
@pytest.mark.parametrize("wrong_depth", [0.0, 0.1, -0.15])
def test_well_measured_rest_is_evidence_of_rest(along: Float, wrong_depth: float) -> None:
    """Also with a depth that is 15 % wrong; more displacements are more evidence."""
    assert scored(np.zeros(3), along, wrong_depth) < -3
    few, many = (scored(np.zeros(3), along, wrong_depth, count=n) for n in (2, 8))
    assert few > many


@pytest.mark.parametrize("along", [SIDEWAYS, AHEAD])
def test_motion_across_the_view_is_found(along: Float) -> None:
    assert scored(np.array((3.0, 0, 0)), along) > 30
    assert scored(np.array((-3.0, 0, 0)), along) > 30
    assert scored(np.array((6.0, 0, 0)), along) > scored(np.array((3.0, 0, 0)), along)


def test_fast_objects_that_approach_the_camera_move() -> None:
    """12 m/s are far more than a depth that is 15 % wrong explains."""
    assert scored(np.array((0, 0, -12.0)), AHEAD, count=8) > 30


def ahead_of_a_camera_that_drives(speed: float, count: int = 8) -> tuple[Float, Float, Float]:
    """An object straight ahead that moves along the camera's path: J and B are parallel."""
    J, B = [], []
    for i in range(count):
        depth = 20 - speed * 0.1 * i
        b = by_motion(60 * 20 / depth, 30 * 20 / depth, depth)
        B.append(b)
        J.append(-b @ (AHEAD * -speed * 0.1))
    return np.array(J), np.array(B), np.zeros((count, 2, 6))


def test_rest_is_not_decided_where_depth_could_explain_the_motion() -> None:
    """A depth that is 15 % wrong and a motion with the camera at 15 % of its speed look the same.

    The first prior alone would call an object still that does not move sideways. With the second
    one the score is higher, since most objects on a road move along the camera's path.
    """
    J, B, A = ahead_of_a_camera_that_drives(8.0)
    # The displacement of an object that moves with the camera, at three quarters of its speed.
    e = B @ (AHEAD * 6.0 * 0.1)
    information, vector = gathered(e, J, B, A)
    with_way = evidence.score(information, vector, AHEAD)[0]
    assert evidence.score(information, vector, SIDEWAYS)[0] < with_way
    assert with_way > 0
    # At half its speed a depth known to 20 % leaves it open; it is not called still.
    slower = evidence.score(*gathered(B @ (AHEAD * 4.0 * 0.1), J, B, A), AHEAD)[0]
    assert -Settings().score_threshold < slower < with_way
    # J is proportional to B along the way: no displacement separates the two.
    assert np.linalg.matrix_rank(np.concatenate((J[:, :, None], B[:, :, 2:]), 2)[0]) == 1
    rest = evidence.score(*gathered(0 * e, J, B, A), AHEAD)[0]
    assert rest < with_way


def test_an_unobservable_direction_gives_no_evidence() -> None:
    """Only along B's third column, which is parallel to J: depth explains such a motion."""
    J = np.array([[3.0, 1.5]])
    B = np.zeros((1, 2, 3))
    B[0, :, 2] = J[0] / 5
    e = 0.1 * J
    information, vector = gathered(e, J, B, np.zeros((1, 2, 6)))
    for along in (SIDEWAYS, AHEAD):
        assert abs(evidence.score(information, vector, along)[0]) < 0.3


def test_an_unknown_pose_gives_no_evidence() -> None:
    J, B, A = views(np.random.default_rng(0), 5)
    e = B @ np.array((0.3, 0, 0))
    known = evidence.score(*gathered(e, J, B, A), AHEAD)[0]
    vague = evidence.score(*gathered(e, J, B, A, pose=np.eye(6)), AHEAD)[0]
    assert known > 30
    assert abs(vague) < 3


def test_neighbours_that_disagree_add_less_evidence() -> None:
    """Their variance is noise: two features of one object that move in opposite directions."""
    J, B, A = views(np.random.default_rng(0), 2)
    B[1], J[1] = B[0], J[0]
    e = np.array([[3.0, 0], [-3.0, 0]])
    A[1] = A[0]
    information, _ = evidence.information_of(e, J, A, 0.1, CERTAIN, np.ones((2, 2)))
    alone, _ = evidence.information_of(e, J, A, 0.1, CERTAIN, np.eye(2))
    same = e[:1].repeat(2, 0)
    alike, _ = evidence.information_of(same, J, A, 0.1, CERTAIN, np.ones((2, 2)))
    np.testing.assert_allclose(alike, alone)
    spread = evidence.PIXEL_STD**2 / (evidence.PIXEL_STD**2 + 9)
    assert information[0, 1, 1] == pytest.approx(alone[0, 1, 1] * spread, rel=1e-6)


@pytest.mark.parametrize("rate", [10, 20, 30])
def test_the_sum_is_the_same_at_any_frame_rate(rate: int) -> None:
    """A second of displacements over 0.1, 0.2, 0.4 s, with a step's share of each frame."""
    J, B, A = ahead_of_a_camera_that_drives(8.0, 1)
    v = np.array((1.0, 0, 0))
    total = np.zeros((4, 4))
    for _ in range(rate):
        for gap in (1, 2, 4):
            seconds = gap * 0.1
            # J grows with the time like B dt: the camera's way is longer.
            e, j = B @ (v * seconds), J * gap
            total += gathered(e, j, B, A, seconds)[0][0] / (rate / 10)
    expected = sum(10 * gathered(B @ (v * g), J * g * 10, B, A, g)[0][0] for g in (0.1, 0.2, 0.4))
    np.testing.assert_allclose(total, expected)


# --- velocity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", [(2.0, 0.0, 0.0), (-1.0, 0.3, 0.0), (0.0, 0.0, -12.0)])
@pytest.mark.parametrize("wrong_depth", [0.0, 0.1])
def test_velocity_is_that_of_the_object(motion: tuple[float, ...], wrong_depth: float) -> None:
    J, B, A = views(np.random.default_rng(0), 12)
    e = B @ (np.array(motion) * 0.1) + J * wrong_depth
    information, vector = gathered(e, J, B, A)
    got, covariance = evidence.velocity(information[0], vector[0], AHEAD)
    assert (np.abs(got - motion) <= 2.5 * np.sqrt(np.diag(covariance)) + 0.05).all()
    assert np.abs(got - motion)[:2].max() < 0.4
    np.testing.assert_allclose(covariance, covariance.T)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


@given(st.integers(0, 10_000))
def test_velocity_is_the_posterior_of_least_squares(seed: int) -> None:
    """Against the stacked problem with the priors as rows, solved by lstsq."""
    rng = np.random.default_rng(seed)
    J, B, A = views(rng, 4)
    e = B @ (rng.normal(0, 2, 3) * 0.1) + rng.normal(0, 0.3, (4, 2))
    information, vector = gathered(e, J, B, A)
    H = np.concatenate((J[:, :, None], B * 0.1), 2).reshape(-1, 4) / evidence.PIXEL_STD
    along = direction(rng)
    prior = np.diag([1 / evidence.NETWORK_STD] + [1 / evidence.SPEED_STD] * 3)
    # Across the camera's way the wide prior, along it both together.
    fast = np.hypot(evidence.SPEED_STD, evidence.ALONG_STD)
    prior[1:, 1:] += np.outer(along, along) * (1 / fast - 1 / evidence.SPEED_STD)
    rows = np.concatenate((H, prior))
    right = np.concatenate((e.reshape(-1) / evidence.PIXEL_STD, np.zeros(4)))
    got, covariance = evidence.velocity(information[0], vector[0], along)
    np.testing.assert_allclose(got, np.linalg.lstsq(rows, right)[0][1:], atol=1e-7)
    np.testing.assert_allclose(covariance, np.linalg.inv(rows.T @ rows)[1:, 1:], atol=1e-7)


def test_a_speed_along_the_cameras_way_is_not_pulled_to_rest() -> None:
    J, B, A = ahead_of_a_camera_that_drives(8.0)
    information, vector = gathered(B @ (AHEAD * 0.8), J, B, A)
    narrow, _ = evidence.velocity(information[0], vector[0], SIDEWAYS)
    wide, covariance = evidence.velocity(information[0], vector[0], AHEAD)
    assert narrow[2] < wide[2] == pytest.approx(8.0, abs=3.0)
    assert np.sqrt(covariance[2, 2]) > 0.5, "a wrong depth explains some of it"
