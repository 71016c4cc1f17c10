# SPDX-License-Identifier: Apache-2.0
"""The measures that need no truth, on the synthetic street, whose truth is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from street_views import HEIGHT, Street, mean, points_of, street_views

from depth_recog.evaluation.without_truth.agreement import (
    balanced,
    compared,
    row_fit,
    weighted_median,
)
from depth_recog.evaluation.without_truth.collected import Collected, compare, standard_error
from depth_recog.evaluation.without_truth.consistency import photometric_error
from depth_recog.evaluation.without_truth.measures import Measures, measure
from depth_recog.evaluation.without_truth.road import road_of
from depth_recog.evaluation.without_truth.views import depth_at
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.loss import photometric
from depth_recog.method.pose.refinement import robust_std


@pytest.fixture(scope="module")
def street() -> Street:
    return street_views()


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


def test_the_photometric_error_is_that_of_training() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), np.uint8)
    images[1, :12] = images[0, :12]
    first, second = (torch.from_numpy(i).permute(2, 0, 1)[None].float() / 255 for i in images)
    expected = photometric.photometric_error(first, second)[0, 0].numpy()
    assert np.allclose(photometric_error(*images), expected, atol=1e-5)
    assert expected[:10].max() < 1e-6 < 0.2 < expected[14:].min()


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
