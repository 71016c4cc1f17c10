# SPDX-License-Identifier: Apache-2.0
"""The focal length from motion: right with an honest deviation, or refused with the reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from moving_camera import SIZE, Trip

from depth_recog.method.self_calibration.epipolar import EpipolarErrors, Poses
from depth_recog.method.self_calibration.focal import FocalEstimate, NotShown, estimate_focal
from depth_recog.method.self_calibration.pairs import LEAST_POINTS, PairCollector

PAIRS = 24


@pytest.mark.parametrize(
    "trip",
    [
        Trip(fov=45),
        Trip(fov=80, centre=(0.02, -0.015)),
        Trip(fov=105, movers=0.2),
        Trip(fov=90, k1=-0.2),
    ],
    ids=["tele", "principal point off", "wide, with movers", "distorted"],
)
def test_curves_show_the_focal_length(trip: Trip) -> None:
    found = estimate_focal(trip.pairs(PAIRS, 1), SIZE)
    assert isinstance(found, FocalEstimate), found
    error = math.log(found.focal / trip.focal)
    assert abs(error) < 0.03
    assert abs(error) < 3 * found.std
    if trip.k1:
        assert found.k1 == pytest.approx(trip.k1, abs=0.04)
    else:
        assert found.k1 == 0


@pytest.mark.parametrize(
    ("trip", "count", "why"),
    [
        (Trip(turn=0.1), PAIRS, "straight on"),
        (Trip(turn=6, step=0.0), PAIRS, "without moving"),
        (Trip(turn=1.5, noise=0.6), PAIRS, "too few or too weak|straight"),
        (Trip(circle=True), PAIRS, "a circle shows nothing"),
        (Trip(movers=1.0), PAIRS, "one rigid scene|too weak|straight"),
        (Trip(), 5, "only 5 pairs"),
    ],
    ids=["straight", "rotation", "weak", "along a circle", "everything moves", "short"],
)
def test_refusals(trip: Trip, count: int, why: str) -> None:
    found = estimate_focal(trip.pairs(count, 2), SIZE)
    assert isinstance(found, NotShown), found
    assert any(part in found.why for part in why.split("|")), found.why


def test_distances_are_zero_for_the_true_motion_and_derivatives_are_those_of_differences() -> None:
    trip = Trip(noise=0.0, turn=0.0, k1=-0.1)
    errors = EpipolarErrors(trip.pairs(3, 0), SIZE)
    lens = np.array((math.log(trip.focal), trip.k1, 0.0, 0.0))
    # Without rotation all three move along their own direction; the five-point method finds it.
    poses = errors.five_points(lens)
    distances = errors.distances(poses, lens)[errors.known]
    assert np.abs(distances).max() < 0.05
    _, slopes = errors.linearised(poses, lens)
    steps = np.zeros((3, 5))
    steps[:, 1] = 1e-4
    moved = errors.distances(poses.moved(steps), lens) - errors.distances(poses, lens)
    np.testing.assert_allclose(moved, slopes[..., 1] * 1e-4, atol=2e-4)


def test_moved_poses_stay_rotations_and_unit_directions() -> None:
    poses = Poses(np.eye(3)[None].repeat(2, 0), np.array(((0.0, 0, 1), (1.0, 0, 0))))
    moved = poses.moved(np.full((2, 5), 0.1))
    for turn in moved.rotations:
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(moved.directions, axis=1), 1)
    assert moved.angles == pytest.approx([0.1 * math.sqrt(3)] * 2)


def panorama(shift: float) -> np.ndarray:
    """A textured wall that moves sideways."""
    rng = np.random.default_rng(4)
    wide = rng.integers(0, 255, (90, 400), dtype=np.uint8)
    grown = np.kron(wide, np.ones((4, 4), np.uint8))[:360]
    start = round(shift)
    return np.ascontiguousarray(grown[:, start : start + 640])


def test_a_pair_is_complete_when_its_points_have_moved_enough() -> None:
    collector = PairCollector()
    avoid = np.zeros((360, 640), np.bool_)
    avoid[:, :320] = True
    for i in range(9):
        assert collector.wants_mask == (i == 0)
        assert collector.add(panorama(7 * i), avoid if i == 0 else None)
    assert collector.add(panorama(70))
    (pair,) = collector.pairs
    assert len(pair.first) >= LEAST_POINTS
    assert (pair.first[:, 0] >= 319).all()
    assert pair.motion == pytest.approx(70, abs=7.1)
    assert collector.wants_mask


def test_a_cut_ends_a_pair_and_a_blank_image_begins_none() -> None:
    collector = PairCollector()
    assert collector.add(panorama(0))
    assert not collector.add(np.random.default_rng(9).integers(0, 255, (360, 640), np.uint8))
    assert collector.wants_mask
    assert not collector.pairs
    assert collector.add(np.zeros((360, 640), np.uint8))
    assert collector.textureless == 1
    assert collector.wants_mask
