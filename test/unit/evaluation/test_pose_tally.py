# SPDX-License-Identifier: Apache-2.0
"""Errors of the ego-motion: exact on trajectories with known errors."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from constructed import Given, Says, ahead, figures_of
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.evaluation.answer import Answer, PairMotion
from depth_recog.evaluation.odometry import PoseTally
from depth_recog.method.geometry.se3 import exp_twist

Matrix = NDArray[np.float64]
NO_DEPTH = np.full((40, 64), np.nan, np.float32)


def way(count: int, turn: float = 0.03, step: float = 1.0) -> list[Matrix]:
    """A path with curves and slopes from an arbitrary start; world_from_camera."""
    poses = [exp_twist(np.array((0.3, -0.8, 0.2, 5.0, -3.0, 40.0)))]
    for i in range(count - 1):
        twist = np.array((turn * math.sin(i), turn * math.cos(i / 9), 0.01, 0.05, 0.1, step))
        poses.append(poses[-1] @ exp_twist(twist))
    return poses


def judged(
    true: list[Matrix],
    pair: Callable[[int], PairMotion | None] = lambda i: None,
    estimated: list[Matrix | None] | None = None,
) -> dict[str, Any]:
    """The pose figures of a whole evaluation."""
    sequence = Given([Truth(world_from_camera=T) for T in true])

    def answer(index: int) -> Answer:
        pose = estimated[index] if estimated else None
        return Answer(NO_DEPTH, motion=pair(index), world_from_camera=pose)

    return figures_of(sequence, Says(answer))["pose"]


def pairs(
    true: list[Matrix], gap: int, change: Callable[[Matrix], Matrix] = lambda T: T
) -> Callable[[int], PairMotion | None]:
    """Each frame's T_second_from_first against the frame `gap` before, changed."""

    def pair(index: int) -> PairMotion | None:
        if index < gap:
            return None
        T = np.linalg.inv(true[index]) @ true[index - gap]
        return PairMotion(f"{index - gap:06d}", change(T))

    return pair


def changed(
    rotation: Callable[[Matrix], Matrix] = np.asarray,
    translation: Callable[[Matrix], Matrix] = np.asarray,
) -> Callable[[Matrix], Matrix]:
    """A change of the rotation and the translation of a motion."""

    def change(T: Matrix) -> Matrix:
        wrong = T.copy()
        wrong[:3, :3], wrong[:3, 3] = rotation(T[:3, :3]), translation(T[:3, 3])
        return wrong

    return change


def yaw(degrees: float) -> Matrix:
    """(3, 3): a rotation about y."""
    return exp_twist(np.array((0.0, math.radians(degrees), 0.0, 0.0, 0.0, 0.0)))[:3, :3]


@pytest.mark.parametrize("gap", [1, 3])
def test_the_true_motion_has_no_error(gap: int) -> None:
    true = way(20)
    got = judged(true, pairs(true, gap), list(true))
    assert got["pairs"] == 20 - gap
    assert got["unanswered"] == 0
    assert got["frames_apart"] == gap
    for name in ("rotation_degrees", "translation_percent", "direction_degrees"):
        assert all(v == pytest.approx(0, abs=1e-4) for v in got[name].values()), name
    assert got["scale"]["median"] == pytest.approx(1)
    assert got["scale"]["spread"] == pytest.approx(0, abs=1e-9)
    assert got["scale"]["drift_percent_per_100m"] == pytest.approx(0, abs=1e-6)
    for kind in ("unscaled", "median_scaled"):
        part = got["trajectory"][kind]
        assert part["translation_percent"] == pytest.approx(0, abs=1e-6)
        assert part["rotation_degrees_per_100m"] == pytest.approx(0, abs=1e-4)


def test_a_known_rotation_and_a_known_length() -> None:
    true = way(12)
    got = judged(true, pairs(true, 1, changed(lambda R: yaw(0.5) @ R, lambda t: 0.8 * t)))
    known = {"rotation_degrees": 0.5, "translation_percent": 20.0, "direction_degrees": 0.0}
    for name, value in known.items():
        assert got[name]["median"] == pytest.approx(value, abs=1e-5), name
        assert got[name]["mean"] == pytest.approx(value, abs=1e-5), name
    assert got["scale"]["median"] == pytest.approx(0.8)


def test_rotation_by_frame_is_divided_by_the_gap() -> None:
    true = [ahead(float(i)) for i in range(9)]
    for apart in (1, 3):
        got = judged(true, pairs(true, apart, changed(lambda R: yaw(0.6) @ R)))
        assert got["rotation_degrees"]["median"] == pytest.approx(0.6, abs=1e-5)
        assert got["rotation_degrees_per_frame"]["p90"] == pytest.approx(0.6 / apart, abs=1e-5)


def test_the_direction() -> None:
    true = [ahead(float(i)) for i in range(5)]
    got = judged(true, pairs(true, 1, changed(translation=lambda t: 3 * yaw(7) @ t)))
    assert got["direction_degrees"]["median"] == pytest.approx(7)
    assert got["rotation_degrees"]["median"] == pytest.approx(0)
    assert got["scale"]["median"] == pytest.approx(3)


def test_poses_with_swapped_directions_are_detected() -> None:
    true = way(12, turn=0.1)
    inverse = judged(true, pairs(true, 1, np.linalg.inv))
    assert inverse["translation_percent"]["median"] > 150
    assert inverse["rotation_degrees"]["median"] > 5
    assert inverse["direction_degrees"]["median"] > 150
    transposed = judged(true, pairs(true, 1, changed(np.transpose)))
    assert transposed["rotation_degrees"]["median"] > 5
    assert judged(true, pairs(true[::-1], 1))["translation_percent"]["median"] > 150


def test_median_mean_and_p90() -> None:
    tally = PoseTally()
    true = ahead(0.0)
    true[2, 3] = -1.0
    for i, degrees in enumerate((0.0, 1.0, 2.0, 3.0, 14.0)):
        tally.frame(None, ahead(float(i)))
        found = exp_twist(np.array((0.0, 0.0, math.radians(degrees), 0, 0, 0)))
        found[:3, 3] = true[:3, 3]
        tally.pair(found, true, 1)
    got = tally.result()["rotation_degrees"]
    assert got == pytest.approx({"median": 2, "mean": 4, "p90": 3 + 0.6 * 11})


@pytest.mark.parametrize("percent", [-31.8, 5.0, 60.0])
def test_a_known_drift_of_the_scale(percent: float) -> None:
    """The length grows by this many percent each 100 m."""
    true = [ahead(1.5 * i) for i in range(60)]

    def pair(index: int) -> PairMotion | None:
        if index == 0:
            return None
        T = ahead(-1.5 * (1 + percent / 100) ** (1.5 * index / 100))
        return PairMotion(f"{index - 1:06d}", T)

    got = judged(true, pair)["scale"]
    assert got["drift_percent_per_100m"] == pytest.approx(percent, rel=1e-6)


def test_a_short_path_has_no_drift_and_standing_still_no_translation() -> None:
    true = [ahead(0.5 * i) for i in range(10)]
    assert judged(true, pairs(true, 1))["scale"]["drift_percent_per_100m"] is None
    true = [ahead(0.01 * i) for i in range(4)]
    got = judged(true, pairs(true, 1))
    assert got["pairs"] == 3
    assert got["rotation_degrees"]["median"] == 0
    assert "translation_percent" not in got
    assert "scale" not in got


def test_unanswered_pairs_are_counted_and_pairs_with_unknown_frames_are_not() -> None:
    true = way(6)
    some = pairs(true, 1)

    def pair(index: int) -> PairMotion | None:
        found = some(index)
        return PairMotion(found.first, None) if found and index % 2 else found

    got = judged(true, pair)
    assert (got["pairs"], got["unanswered"]) == (5, 3)
    assert got["rotation_degrees"]["mean"] == pytest.approx(0, abs=1e-4)
    assert judged(true, lambda i: PairMotion("elsewhere", np.eye(4)), list(true))["pairs"] == 0


def kitti_devkit(estimated: list[Matrix], true: list[Matrix], metres: float) -> tuple[float, float]:
    """Slow reference: calcSequenceErrors of KITTI's development kit, rewritten."""
    way = [0.0]
    for a, b in pairwise(true):
        way.append(way[-1] + math.dist(a[:3, 3], b[:3, 3]))
    translations, rotations = [], []
    for first in range(len(true)):
        last = next((j for j in range(len(true)) if way[j] >= way[first] + metres), None)
        if last is None:
            continue
        of_truth = np.linalg.inv(true[first]) @ true[last]
        of_result = np.linalg.inv(estimated[first]) @ estimated[last]
        error = np.linalg.inv(of_result) @ of_truth
        angle = math.acos(max(-1, min(1, (np.trace(error[:3, :3]) - 1) / 2)))
        length = way[last] - way[first]
        translations.append(100 * math.hypot(*error[:3, 3]) / length)
        rotations.append(math.degrees(angle) / length * 100)
    return float(np.mean(translations)), float(np.mean(rotations))


@pytest.mark.parametrize("count", [40, 260])
def test_segments_are_those_of_kittis_benchmark(count: int) -> None:
    """Over 100 m, or half of a path shorter than 200 m; in any world frame."""
    true = way(count)
    rng = np.random.default_rng(0)
    estimated = [exp_twist(np.array((0.1, 0.2, 0.3, 1, 2, 3)))]
    for a, b in pairwise(true):
        noise = exp_twist(np.concatenate((rng.normal(0, 0.01, 3), rng.normal(0, 0.1, 3))))
        estimated.append(estimated[-1] @ np.linalg.inv(a) @ b @ noise)
    got = judged(true, estimated=list(estimated))["trajectory"]
    metres = got["segment_m"]
    assert metres == pytest.approx(100 if count > 200 else got["length_m"] / 2)
    translation, rotation = kitti_devkit(estimated, true, metres)
    assert got["unscaled"]["translation_percent"] == pytest.approx(translation, rel=1e-6)
    assert got["unscaled"]["rotation_degrees_per_100m"] == pytest.approx(rotation, rel=1e-4)


def test_a_wrong_heading_of_the_last_frame_only() -> None:
    true = [ahead(float(i)) for i in range(3)]
    estimated = list(true)
    estimated[2] = true[2] @ exp_twist(np.array((0, 0.2, 0, 0, 0, 0.0)))
    got = judged(true, estimated=list(estimated))["trajectory"]
    assert got["unscaled"]["translation_percent"] == pytest.approx(0, abs=1e-9)
    assert got["unscaled"]["rotation_degrees_per_100m"] > 1


def test_a_trajectory_of_another_scale() -> None:
    true = way(60)
    half = changed(translation=lambda t: t / 2)
    got = judged(true, pairs(true, 1, half), [half(pose) for pose in true])["trajectory"]
    assert got["unscaled"]["translation_percent"] > 20
    assert got["median_scaled"]["translation_percent"] == pytest.approx(0, abs=1e-6)


def test_pairs_without_a_trajectory_and_a_trajectory_with_holes() -> None:
    """Poses and pairs come from two files of a run; either may be missing."""
    true = way(30)
    alone = judged(true, pairs(true, 1))
    assert "trajectory" not in alone
    assert alone["scale"]["drift_percent_per_100m"] == pytest.approx(0, abs=1e-6)
    holes: list[Matrix | None] = [T if i % 3 else None for i, T in enumerate(true)]
    got = judged(true, estimated=holes)["trajectory"]
    assert got["unscaled"]["translation_percent"] == pytest.approx(0, abs=1e-6)
