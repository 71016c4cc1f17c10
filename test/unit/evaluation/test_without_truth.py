# SPDX-License-Identifier: Apache-2.0
"""The measures that need no truth, on the synthetic street, whose truth is exact."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.evaluation.without_truth import stream
from depth_recog.evaluation.without_truth.agreement import (
    balanced,
    compared,
    row_fit,
    weighted_median,
)
from depth_recog.evaluation.without_truth.collected import Collected, compare, standard_error
from depth_recog.evaluation.without_truth.matching import matches
from depth_recog.evaluation.without_truth.measures import Measures, measure
from depth_recog.evaluation.without_truth.motion import Motion
from depth_recog.evaluation.without_truth.points import (
    PATCH_STD,
    Evidence,
    Points,
    evidence_of,
    triangulate,
)
from depth_recog.evaluation.without_truth.road import road_of
from depth_recog.evaluation.without_truth.views import View, depth_at
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import exp_twist, relative, rotation_angle
from depth_recog.method.masking import PresetRules
from depth_recog.method.pose.refinement import linearised, robust_std
from depth_recog.method.tracking.tracks import Correspondences

Depth = NDArray[np.float32]
HEIGHT = 1.65
RULES = PresetRules()


class Street:
    """Frames of the street with their true depth, sky 200 m away, and the evidence of each pair."""

    def __init__(self, scene: str = "street", frames: int = 8) -> None:
        street = SyntheticStreet(scene, seed=3, frames=frames, width=640, height=192)
        self.views, self.depths, self.poses = [], [], []
        for i in range(frames):
            frame, truth = street[i], street.truth(i)
            assert truth.depth is not None
            assert truth.labels is not None
            assert truth.world_from_camera is not None
            view = View.of(
                frame.name, frame.stamp_ns, frame.image, frame.camera, truth.labels, RULES
            )
            self.views.append(view.with_pose(truth.world_from_camera))
            self.depths.append(np.minimum(truth.depth, np.float32(200)))
            self.poses.append(truth.world_from_camera)
        self.starts = range(frames - 3)
        self.evidence = [evidence_of(self.views[i : i + 5]) for i in self.starts]

    def second(self, start: int) -> int:
        """The number of the partner's frame."""
        return next(i for i, v in enumerate(self.views) if v is self.evidence[start].second)

    @cached_property
    def true(self) -> Collected:
        """The measures of the true depth."""
        return self.measured(*self.depths)

    def measured(self, *depths: Depth) -> Collected:
        """The measures of depth maps, one for each frame."""
        collected = Collected()
        for start, evidence in enumerate(self.evidence):
            pair = depths[start], depths[self.second(start)]
            collected.add(start, measure(evidence, *pair), evidence.why)
        return collected


@pytest.fixture(scope="module")
def street() -> Street:
    return Street()


def points_of(evidence: Evidence) -> Points:
    assert evidence.points is not None, evidence.why
    return evidence.points


def mean(collected: Collected, name: str, key: str = "value") -> float:
    value = collected.figures()[name][key]
    assert isinstance(value, float)
    return value


# What is known without depth


def test_the_motion_is_the_true_one(street: Street) -> None:
    for start, evidence in enumerate(street.evidence):
        found = points_of(evidence).T_second_from_first
        true = relative(street.poses[start], street.poses[street.second(start)])
        direction = true[:3, 3] / np.linalg.norm(true[:3, 3])
        assert np.degrees(rotation_angle(found[:3, :3] @ true[:3, :3].T)) < 0.1
        assert np.degrees(np.arccos(found[:3, 3] @ direction)) < 1.5
        assert points_of(evidence).metres == pytest.approx(np.linalg.norm(true[:3, 3]))


def test_points_lie_where_the_truth_is_and_know_their_errors(street: Street) -> None:
    errors, stds = [], []
    for start, evidence in enumerate(street.evidence):
        points = points_of(evidence)
        true = depth_at(street.depths[start], points.pixels, evidence.first.camera.size)
        errors.append(np.log(points.depth * points.metres / true))
        stds.append(points.std)
    error, std = np.concatenate(errors), np.concatenate(stds)
    assert len(error) > 150 * len(errors)
    assert np.median(np.abs(error)) < 0.03
    assert np.mean(np.abs(error) > 0.2) < 0.08
    assert 0.6 < 1.4826 * np.median(np.abs(error / std)) < 1.8


def test_no_point_lies_on_an_object(street: Street) -> None:
    for evidence in street.evidence:
        u, v = np.rint(points_of(evidence).pixels).astype(int).T
        assert evidence.first.static[v, u].all()


def test_both_ends_of_a_match_are_static(street: Street) -> None:
    first, second = street.views[:2]
    assert len(matches([first, second])) > 100
    hidden = replace(second, static=np.zeros_like(second.static))
    assert len(matches([first, hidden])) == 0


def test_which_frames_make_a_pair(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third frame, with up to eight that follow it; none across a gap in time."""
    offered: list[int] = []

    def last_of(views: list[View]) -> Evidence:
        offered.append(len(views))
        return Evidence(views[0], views[-1], None, "not tried")

    monkeypatch.setattr(stream, "evidence_of", last_of)
    stamps = [100_000_000 * i + (10**10 if i > 10 else 0) for i in range(14)]
    frames = [(replace(street.views[0], stamp_ns=t), i) for i, t in enumerate(stamps)]
    pairs = [(p.number, p.first, p.second) for p in stream.pairs_of(frames, 3)]
    assert pairs == [(0, 0, 8), (3, 3, 10), (6, 6, 10), (9, 9, 10), (12, 12, 13)]
    assert offered == [9, 8, 5, 2, 2]
    assert [stream.step_for(n) for n in (0, 1, 100, 101, 1000)] == [1, 1, 1, 2, 10]


def test_no_point_lies_where_the_camera_saw_nothing(street: Street) -> None:
    view = street.views[0]
    labels = np.zeros(view.image.shape[:2], np.uint8)
    labels[:, :100] = 255
    left = View.of("a", 0, view.image, view.camera, labels, RULES)
    assert not left.static[:, :100].any()
    assert left.static[:, 120:].all()


def test_sizes_follow_the_pixels(street: Street) -> None:
    """Depth is sampled where the pixel lies; a wide image shrinks with its camera and classes."""
    camera = street.views[0].camera
    u = np.arange(320, dtype=np.float32)
    inverse = np.repeat((0.01 + 0.001 * u)[None], 96, 0)  # linear in the pixels of half the size
    pixels = np.array(((10.0, 20.0), (301.0, 100.0)), np.float32)
    found = 1 / depth_at(1 / inverse, pixels, camera.size)
    np.testing.assert_allclose(found, 0.01 + 0.001 * ((pixels[:, 0] + 0.5) / 2 - 0.5), rtol=1e-3)
    wide = camera.resized(2496, 750)
    view = View.of(
        "a", 0, np.zeros((750, 2496, 3), np.uint8), wide, np.zeros((192, 640), np.uint8), RULES
    )
    assert view.camera.size == view.image.shape[1::-1] == view.static.shape[::-1] == (1248, 375)
    assert view.camera.fx == pytest.approx(wide.fx / 2)


def test_a_camera_at_rest_and_a_blank_image_give_no_points(street: Street) -> None:
    view = street.views[0]
    still = evidence_of([view, replace(view, name="again")])
    assert (still.points, still.why) == (None, "the camera hardly moves")
    blank = replace(view, image=np.full_like(view.image, 90))
    dark = evidence_of([blank, blank])
    assert (dark.points, dark.why) == (None, "too few points are found in both frames")
    none = measure(dark, street.depths[0], street.depths[0])
    assert none.triangulation is None
    assert not none.has_points


def test_which_points_are_kept_and_how_sure_they_are() -> None:
    """Exact points with noise of 0.3 px, outliers off their epipolar lines, and a far one."""
    camera = Camera(640, 192, 400.0, 400.0, 319.5, 95.5)
    rng = np.random.default_rng(0)
    T = exp_twist(np.array((0.01, -0.02, 0.005, 0.15, 0.02, -0.95)))
    T[:3, 3] /= np.linalg.norm(T[:3, 3])
    pixels = rng.uniform((20, 20), (620, 172), (600, 2)).astype(np.float32)
    depth = rng.uniform(3, 12, 600)
    depth[0] = 5000
    points = (
        np.stack((*camera.rays(*pixels.T.astype(np.float64)), np.ones(600)), 1) * depth[:, None]
    )
    there = points @ T[:3, :3].T + T[:3, 3]
    exact = camera.matrix @ (there / there[:, 2:]).T
    j = linearised(points.T, exact[:2], T, camera)[2]
    found = exact[:2].T + rng.normal(0, 0.3, (600, 2))
    across = np.stack((-j[1], j[0]), 1) / np.linalg.norm(j, axis=0)[:, None]
    found[1:20] += 3 * across[1:20]
    given = Correspondences(pixels, found.astype(np.float32), 600)
    kept = triangulate(given, Motion(T, np.zeros((6, 6)), 0.3), camera)
    rows = [int(np.flatnonzero((pixels == p).all(1))[0]) for p in kept.pixels]
    assert len(rows) > 450
    assert not set(range(20)) & set(rows)
    error = np.log(kept.depth / depth[rows])
    # What every point has beside its noise is too much here, where patches are points.
    own = np.sqrt(kept.std**2 - PATCH_STD**2)
    np.testing.assert_allclose(own, 0.3 / np.linalg.norm(j[:, rows], axis=0), rtol=0.3)
    assert 0.85 < np.std(error / own) < 1.15
    rays = points[rows] / depth[rows][:, None]
    residual, _, lever, _ = linearised((rays * kept.depth[:, None]).T, found[rows].T, T, camera)
    assert np.abs((residual * lever).sum(0) / (lever**2).sum(0)).max() < 1e-4


# Depth against it


def test_agreement_is_the_error_that_the_truth_shows(street: Street) -> None:
    """For depth with a known error the points give the same abs_rel as the truth at the points."""
    columns = np.linspace(-1, 1, street.depths[0].shape[1], dtype=np.float32)
    for amount in (0.5, 0.9):
        wrong = [depth * np.exp(np.float32(amount) * columns) for depth in street.depths]
        by_points, by_truth = [], []
        for start, evidence in enumerate(street.evidence):
            points, size = points_of(evidence), evidence.first.camera.size
            found = depth_at(wrong[start], points.pixels, size)
            true = compared(found, depth_at(street.depths[start], points.pixels, size))
            own = measure(evidence, wrong[start], wrong[start]).triangulation
            assert true is not None
            assert own is not None
            by_truth.append(true.abs_rel)
            by_points.append(own.abs_rel)
        assert np.mean(by_truth) > 0.3 * amount
        assert np.mean(by_points) == pytest.approx(np.mean(by_truth), abs=0.04)


def test_the_true_depth_beats_the_baselines(street: Street) -> None:
    figures = street.true.figures()
    triangulation, warp = figures["triangulation"], figures["warp"]
    assert triangulation["value"] < 0.08 < 0.5 * triangulation["row_fit"]
    assert triangulation["row_fit"] < triangulation["constant"]
    assert warp["value"] < 0.6 * warp["row_fit"]
    assert warp["row_fit"] < warp["unmoved"]
    assert figures["flicker"]["value"] < 0.03
    assert figures["road"]["height"] == pytest.approx(HEIGHT, rel=0.01)
    assert figures["road"]["unevenness"] < 0.01
    assert figures["road"]["height_spread"] < 0.01
    scale = triangulation["scale_to_recorded_poses"]
    assert scale["median"] == pytest.approx(1, abs=0.02)


def test_another_unit_changes_the_height_and_the_scale_only(street: Street) -> None:
    true = street.true.figures()
    scaled = street.measured(*(depth * np.float32(7) for depth in street.depths)).figures()
    for name, key in (("triangulation", "value"), ("flicker", "value"), ("road", "unevenness")):
        assert scaled[name][key] == pytest.approx(true[name][key], rel=1e-3, abs=1e-6)
    assert scaled["warp"]["value"] == pytest.approx(true["warp"]["value"], rel=0.01)
    assert scaled["road"]["height"] == pytest.approx(7 * HEIGHT, rel=0.01)
    median = scaled["triangulation"]["scale_to_recorded_poses"]["median"]
    assert median == pytest.approx(1 / 7, rel=0.02)


def test_a_size_of_its_own_for_the_depth(street: Street) -> None:
    half = [depth[::2, ::2].copy() for depth in street.depths]
    collected = street.measured(*half)
    assert mean(collected, "triangulation") < 0.09
    assert mean(collected, "road", "height") == pytest.approx(HEIGHT, rel=0.05)


def test_flicker_is_what_changes_from_frame_to_frame(street: Street) -> None:
    """Every frame with another scale: the points do not see it, flicker and road do."""
    scales = np.exp(0.1 * np.random.default_rng(0).standard_normal(len(street.depths)))
    unsteady = [d * np.float32(s) for d, s in zip(street.depths, scales, strict=True)]
    figures = street.measured(*unsteady).figures()
    expected = np.mean([abs(np.log(scales[i] / scales[street.second(i)])) for i in street.starts])
    assert figures["flicker"]["value"] == pytest.approx(expected, rel=0.2)
    assert figures["triangulation"]["value"] < 0.08
    spread = robust_std(np.log(scales[list(street.starts)]))
    assert figures["road"]["height_spread"] == pytest.approx(spread, abs=0.003)


def test_frames_in_the_wrong_order_are_seen(street: Street) -> None:
    """With each pair's depth maps swapped, flicker and error rise."""
    start = 0
    pair = street.depths[start], street.depths[street.second(start)]
    right, wrong = (measure(street.evidence[start], *p) for p in (pair, pair[::-1]))
    assert right.flicker is not None
    assert wrong.flicker is not None
    assert wrong.flicker.mean > 3 * right.flicker.mean


def test_a_depth_without_values_is_not_good(street: Street) -> None:
    nothing = [np.full_like(depth, np.nan) for depth in street.depths]
    collected = street.measured(*nothing)
    figures = collected.figures()
    assert "value" not in figures["triangulation"]
    assert "0 of 5 pairs allow it, 5 needed" in figures["triangulation"]["why"]
    difference = compare(street.true, collected)["triangulation"]
    assert (difference.pairs, difference.lost) == (0, len(street.starts))
    assert not difference.measurable


def test_missing_depth_counts_as_wrong() -> None:
    truth = np.linspace(2.0, 30.0, 200)
    half = np.where(np.arange(200) % 2, truth, np.nan)
    found = compared(half, truth)
    assert found is not None
    assert (found.answered, found.scale) == (0.5, 1)
    assert found.a1 == pytest.approx(0.5, abs=0.01)
    assert found.abs_rel == pytest.approx(0.5, abs=0.01)
    assert compared(np.where(np.arange(200) % 5, np.nan, truth), truth) is None


def test_the_road_of_a_wall_is_none(street: Street) -> None:
    view = street.views[0]
    wall = np.full_like(street.depths[0], 10)
    assert road_of(wall, view.road, view.camera) is None
    assert road_of(street.depths[0], np.zeros_like(view.road), view.camera) is None


# Baselines and comparison


def test_the_row_fit_finds_a_road(street: Street) -> None:
    """Where depth is a function of the row, the fit is nearly exact, whatever a few points say."""
    points = points_of(street.evidence[0])
    x = points.pixels[:, 1].astype(np.float64) / 192 - 0.5
    exact = np.exp(2 - 3 * x + x * x)
    given = exact.copy()
    given[::12] *= 3
    fitted = row_fit(replace(points, depth=given), 192)
    at_points = np.interp(points.pixels[:, 1], np.arange(192), fitted)
    np.testing.assert_allclose(at_points, exact, rtol=0.03)


def test_the_height_above_a_sloping_road() -> None:
    """A plane y = 0.05 x + 0.1 z + 1.5, exactly: its distance, and no unevenness."""
    camera = Camera(416, 128, 240.0, 240.0, 207.5, 50.0)
    x, y = camera.rays(*np.meshgrid(np.arange(416.0), np.arange(128.0)))
    rise = y - 0.05 * x - 0.1
    road = rise > 0.05
    depth = np.where(road, 1.5 / np.maximum(rise, 0.05), 30).astype(np.float32)
    found = road_of(depth, road, camera)
    assert found is not None
    assert found.height == pytest.approx(1.5 / np.sqrt(1 + 0.05**2 + 0.1**2), rel=1e-3)
    assert found.unevenness < 1e-4
    waves = np.exp(0.05 * np.sin(np.arange(416) / 5)).astype(np.float32)
    rough = road_of(depth * waves, road, camera)
    assert rough is not None
    assert rough.unevenness == pytest.approx(1.4826 * 0.05 * np.sin(np.pi / 4), rel=0.15)


def test_every_distance_counts_the_same() -> None:
    """A hundred points on a facade that is right do not hide ten others that are wrong."""
    truth = np.concatenate((np.full(100, 10.0), np.full(10, 3.0), np.full(10, 30.0)))
    found = truth * np.concatenate((np.ones(100), np.full(10, 1.3), np.full(10, 0.6)))
    weight = balanced(truth)
    assert [weight[part].sum() for part in (slice(100), slice(100, 110), slice(110, 120))] == (
        pytest.approx([1, 1, 1])
    )
    found_ = compared(found, truth)
    assert found_ is not None
    assert found_.abs_rel == pytest.approx((0 + 0.3 + 0.4) / 3)
    assert found_.thirds[1] == 0
    assert balanced(np.array((2.0, 9.0))) == pytest.approx([1 / 10, 1 / 10])
    assert weighted_median(np.array((3.0, 1.0, 2.0)), np.array((1.0, 1.0, 5.0))) == 2


def test_two_networks_are_compared_pair_by_pair(street: Street) -> None:
    columns = np.linspace(-1, 1, street.depths[0].shape[1], dtype=np.float32)
    worse = [depth * np.exp(0.2 * columns) for depth in street.depths]
    active, candidate = street.true, street.measured(*worse)
    difference = compare(active, candidate)
    agreement = difference["triangulation"]
    assert agreement.measurable
    assert agreement.mean == pytest.approx(agreement.candidate - agreement.active)
    assert agreement.mean > 4 * agreement.standard_error > 0
    back = compare(candidate, active)["triangulation"]
    assert back.mean == pytest.approx(-agreement.mean)
    assert back.standard_error == pytest.approx(agreement.standard_error)
    same = compare(active, active)
    assert all((d.mean, d.standard_error) == (0, 0) for d in same.values())


def test_correlated_values_have_a_larger_standard_error() -> None:
    rng = np.random.default_rng(0)
    independent = rng.standard_normal(400)
    assert standard_error(independent) == pytest.approx(1 / 20, rel=0.2)
    walked = np.zeros(400)
    for i in range(1, 400):
        walked[i] = 0.8 * walked[i - 1] + independent[i]
    # The mean of such a series has the deviation 1 / (1 - 0.8) / sqrt(N).
    assert standard_error(walked) == pytest.approx(5 / 20, rel=0.4)
    assert standard_error(np.ones(2)) == np.inf


def test_too_few_pairs_say_so() -> None:
    collected = Collected()
    for i in range(4):
        collected.add(i, Measures(), "the camera hardly moves")
    figures = collected.figures()
    assert figures["without_points"] == {"the camera hardly moves": 4}
    for name in ("triangulation", "flicker", "warp", "road"):
        assert "value" not in figures[name]
        assert "5 needed" in figures[name]["why"]
