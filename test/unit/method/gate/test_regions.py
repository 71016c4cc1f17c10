# SPDX-License-Identifier: Apache-2.0
"""Linking, spreading, region ids and the result, each against a slow reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from steps import rigid

from depth_recog.method.gate import evidence, regions
from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.gate.evidence import Evidence
from depth_recog.method.gate.result import GateResult, Region
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.estimator import PoseEstimate

CAMERA = Camera(width=416, height=128, fx=241.7, fy=246.3, cx=204.0, cy=58.8)
Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]


# --- linking --------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(0, 40), st.floats(0, 0.2))
def test_linked_is_a_walk_from_neighbour_to_neighbour(seed: int, count: int, dense: float) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((count, count)) < dense, rng.uniform(0.05, 1, (count, count)), 0)
    weights = np.maximum(weights, np.eye(count))
    half = rng.random((count, count)) < 0.7
    weights = np.where(half, np.maximum(weights, weights.T), weights)
    states = rng.integers(0, 3, count).astype(np.uint8)
    components = rng.integers(1, 3, count).astype(np.int32)
    got = regions.linked(weights, states, components)
    expected = np.full(count, -1)
    for start in range(count):
        if expected[start] >= 0:
            continue
        queue = [start]
        while queue:
            here = queue.pop()
            expected[here] = start
            for other in range(count):
                alike = states[other] == states[here] and components[other] == components[here]
                both = min(weights[here, other], weights[other, here]) >= regions.LINKED
                if alike and both and expected[other] < 0:
                    queue.append(other)
    np.testing.assert_array_equal(got, expected)


def test_a_long_chain_is_one() -> None:
    """Neighbours in turn, in an order that needs many rounds."""
    count = 200
    order = np.random.default_rng(0).permutation(count)
    weights = np.eye(count)
    weights[order[:-1], order[1:]] = weights[order[1:], order[:-1]] = regions.LINKED
    same = np.ones(count, np.uint8)
    assert not regions.linked(weights, same, same.astype(np.int32)).any()


# --- spreading ------------------------------------------------------------------------------------


def components_of(seed: int) -> NDArray[np.int32]:
    mask = np.zeros((40, 60), np.uint8)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        top, left = rng.integers(0, 32), rng.integers(0, 50)
        mask[top : top + rng.integers(3, 16), left : left + rng.integers(3, 20)] = 1
    return np.asarray(cv2.connectedComponents(mask, connectivity=8)[1], np.int32)


@given(st.integers(0, 10_000), st.integers(0, 25))
def test_each_pixel_takes_a_nearest_feature_of_its_component(seed: int, count: int) -> None:
    """OpenCV's 3x3 distances have errors of up to 5 %."""
    components = components_of(seed)
    rng = np.random.default_rng(seed)
    pixels = rng.uniform((-0.4, -0.4), (59.4, 39.4), (count, 2)).astype(np.float32)
    got = regions.spread_over(components, pixels)
    assert got.shape == components.shape
    assert got.dtype == np.int32
    places = np.clip(np.rint(pixels).astype(int), 0, (59, 39))
    owners = components[places[:, 1], places[:, 0]]
    for v, u in np.ndindex(40, 60):
        own = np.flatnonzero((owners == components[v, u]) & (components[v, u] > 0))
        if not len(own):
            assert got[v, u] == -1
            continue
        assert got[v, u] in own, "of its own component"
        away = np.hypot(*(places[own] - (u, v)).T)
        chosen = np.hypot(*(places[got[v, u]] - (u, v)))
        assert chosen <= away.min() * 1.1 + 1e-9


def test_a_features_own_pixel_belongs_to_it() -> None:
    components = components_of(3)
    v, u = (axis[::17] for axis in np.nonzero(components))
    got = regions.spread_over(components, np.stack((u, v), 1).astype(np.float32))
    np.testing.assert_array_equal(got[v, u], np.arange(len(u)))


# --- region ids -----------------------------------------------------------------------------------


def ids_of(links: list[int], before: list[int], following: int) -> tuple[list[int], int]:
    numbers, after = regions.identified(np.array(links, np.intp), np.array(before), following)
    return numbers.tolist(), after


def test_groups_keep_their_region_ids() -> None:
    assert ids_of([0, 0, 2, 2], [7, 7, 4, 4], 9) == ([7, 7, 4, 4], 9)
    assert ids_of([0, 0, 0], [7, 4, 4], 9) == ([4, 4, 4], 9), "what most had"
    assert ids_of([0, 0, 2], [0, 7, 0], 9) == ([7, 7, 9], 10), "new features have no vote"
    assert ids_of([], [], 5) == ([], 5)


def test_ids_of_groups_that_split_or_merge() -> None:
    split = ids_of([0, 1, 1, 1, 0], [3, 3, 3, 3, 3], 4)
    assert split == ([4, 3, 3, 3, 4], 5), "the largest part keeps the id"
    merged = ids_of([0, 0, 0, 0, 0], [1, 1, 2, 2, 2], 3)
    assert merged == ([2, 2, 2, 2, 2], 3), "the id of most features is kept"
    # The large group keeps 3, which most of the small one had; an old id is better than a new one.
    assert ids_of([0] * 4 + [4] * 3, [3, 3, 3, 3, 3, 3, 5], 9) == ([3] * 4 + [5] * 3, 9)


@given(st.integers(0, 10_000), st.integers(0, 30))
def test_region_ids_and_groups_are_one_to_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    links = rng.integers(0, 6, count)
    before = rng.integers(0, 8, count)
    ids, after = regions.identified(links, before, 8)
    pairs = set(zip(links.tolist(), ids.tolist(), strict=True))
    assert len(pairs) == len({group for group, _ in pairs}) == len({i for _, i in pairs})
    assert (ids > 0).all()
    fresh = sorted({i for _, i in pairs if i >= 8})
    assert fresh == list(range(8, after)), "consecutive, from the first free one"
    for group, region_id in pairs:
        past = set(before[links == group].tolist()) - {0}
        taken = {i for other, i in pairs if other != group}
        assert past <= taken if region_id >= 8 else region_id in past


# --- extent ---------------------------------------------------------------------------------------


def test_extent_of_a_board() -> None:
    """2 m wide, 1 m high, 10 m away, its middle where it stands."""
    depth = np.full((128, 416), 10.0, np.float32)
    columns, rows = (a.ravel() for a in np.meshgrid(np.arange(250, 300), np.arange(40, 60)))
    centre, size = regions.extent(depth, rows, columns, CAMERA)
    np.testing.assert_allclose(size, (50 / 24.17, 20 / 24.63, 0), rtol=1e-12)
    middle = (274.5 - CAMERA.cx) / 24.17, (49.5 - CAMERA.cy) / 24.63, 10
    np.testing.assert_allclose(centre, middle)


def test_extent_in_depth_leaves_a_tenth_out_at_each_end() -> None:
    depth = np.full((128, 416), np.nan, np.float32)
    rows, columns = np.full(100, 60), np.arange(100, 200)
    depth[60, 100:200] = np.random.default_rng(0).permutation(np.linspace(8, 17.9, 100))
    depth[60, 100] = 500
    centre, size = regions.extent(depth, rows, columns, CAMERA)
    assert size[2] == pytest.approx(8.0, abs=0.3)
    assert centre[2] == pytest.approx(13, abs=0.2)


def test_extent_without_depth_is_unknown() -> None:
    depth = np.full((128, 416), np.nan, np.float32)
    unknown = regions.extent(depth, np.array([3]), np.array([4]), CAMERA)
    np.testing.assert_array_equal(unknown, np.nan)
    depth[3, 4] = 2
    centre, size = regions.extent(depth, np.array([3]), np.array([4]), CAMERA)
    assert centre[2] == 2
    assert size[2] == 0


# --- what is measured of a region -----------------------------------------------------------------


def test_a_regions_score_is_the_median_and_its_evidence_the_mean_of_its_measured_features() -> None:
    chance = np.random.default_rng(0)
    of_feature = np.array([0, 0, 0, 2, 2, 2, 2, 2, 1])
    scores = np.array([5.0, 1, 3, 2, np.nan, 8, 4, 100, np.nan])
    half = chance.normal(size=(9, 4, 4))
    ids = np.arange(9)
    pooled = Evidence(ids, half @ half.transpose(0, 2, 1), chance.normal(size=(9, 4)))
    along, order = np.array([0.0, 0, 1]), chance.permutation(9)
    decided = regions.Decided(
        pooled,
        Evidence(ids, pooled.information[order], pooled.vector[order]),
        along,
        scores[order],
        np.zeros(9, np.uint8),
        ids,
    )
    score, velocity, std = regions.measured(decided, of_feature[order], 3)
    np.testing.assert_array_equal(score, [3, np.nan, 6])
    for region in (0, 2):
        own = (of_feature == region) & np.isfinite(scores)
        mean, covariance = evidence.velocity(
            pooled.information[own].mean(0), pooled.vector[own].mean(0), along
        )
        np.testing.assert_allclose(velocity[region], mean)
        np.testing.assert_allclose(std[region], np.sqrt(np.diag(covariance)))
    assert np.isnan(velocity[1]).all()
    assert np.isnan(std[1]).all()


# --- the result ----------------------------------------------------------------------------------


def region(
    number: int,
    motion: Motion,
    score: float,
    velocity: tuple[float, ...] = (0.0, 0.0, 0.0),
    velocity_std: tuple[float, ...] = (0.1, 0.2, 0.3),
) -> Region:
    none = np.full(3, np.nan)
    return Region(
        number, "car", 50, 9, motion, score, f"because {number}", np.array(velocity),
        np.array(velocity_std), none, none,
    )  # fmt: skip


def result(*found: Region, blank: Motion = Motion.STILL) -> GateResult:
    moving = np.full((2, 5), blank, np.uint8)
    for i, one in enumerate(found):
        moving[0, i] = one.motion
    return GateResult(found, np.zeros((2, 5), np.int32), moving, np.zeros((2, 5), np.float32))


def test_the_frame_moves_where_one_region_does() -> None:
    still, maybe = region(1, Motion.STILL, -9), region(2, Motion.UNDECIDED, 1)
    moves, more = region(3, Motion.MOVING, 8), region(4, Motion.MOVING, 20)
    assert result(still, still).decision.motion is Motion.STILL
    assert result(still, maybe).decision == Decision(Motion.UNDECIDED, "car 2: because 2")
    got = result(still, moves, maybe, more).decision
    assert got == Decision(Motion.MOVING, "car 4: because 4"), "the region with the highest score"


def test_without_regions_there_is_a_reason_too() -> None:
    assert result().decision == Decision(Motion.STILL, "no pixel of a dynamic category")
    got = result(blank=Motion.UNDECIDED).decision
    assert got == Decision(Motion.UNDECIDED, "no features on dynamic categories")


def test_the_likeliest_mover_is_the_one_with_the_highest_score() -> None:
    unknown = region(5, Motion.UNDECIDED, np.nan)
    assert result().likeliest_mover is None
    assert result(unknown).likeliest_mover is None
    found = result(region(1, Motion.STILL, -9), unknown, region(2, Motion.STILL, -4))
    assert found.likeliest_mover.region_id == 2


def test_the_dynamic_pose_is_the_static_one_and_tau() -> None:
    T = rigid((0.1, -0.2, 0.05), (0.3, 0.1, -1))
    static = PoseEstimate(T, True, "", 100, 90, np.eye(6))
    found = result(region(1, Motion.MOVING, 9, (1.0, -2.0, 3.0)), region(2, Motion.STILL, -9))
    pose = found.dynamic_pose(static, 0.2)
    assert pose.ok
    np.testing.assert_array_equal(pose.T_second_from_first[:3, :3], T[:3, :3])
    np.testing.assert_allclose(pose.T_second_from_first[:3, 3], T[:3, 3] + (0.2, -0.4, 0.6))
    assert pose.T_second_from_first[3].tolist() == [0, 0, 0, 1]
    assert pose.points == pose.inliers == 9
    np.testing.assert_array_equal(T[:3, 3], (0.3, 0.1, -1)), "the static one is left as it was"


def test_without_a_mover_or_a_static_pose_there_is_no_dynamic_one() -> None:
    static = PoseEstimate(np.eye(4), True)
    assert result().dynamic_pose(static, 0.1).why == "no region was measured"
    lost = result(region(1, Motion.MOVING, 9)).dynamic_pose(PoseEstimate(why="dark"), 0.1)
    assert not lost.ok
    assert lost.why == "no static pose: dark"


def test_thresholds_are_deviations_of_tau_and_a_least_speed() -> None:
    found = result(region(1, Motion.MOVING, 9)).thresholds(0.2)
    expected = np.full((4, 4), np.inf)
    expected[:3, 3] = (0.2 * (3 * 0.1 + 0.3), 0.2 * (3 * 0.2 + 0.3), 0.2 * (3 * 0.3 + 0.3))
    np.testing.assert_allclose(found, expected)
    assert np.isinf(result().thresholds(0.2)).all()
