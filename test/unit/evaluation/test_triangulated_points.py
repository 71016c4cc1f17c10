# SPDX-License-Identifier: Apache-2.0
"""Pairs of frames, the camera's motion and triangulated points, on the exact synthetic street."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from street_views import RULES, Street, points_of, street_views

from depth_recog.evaluation.without_truth import stream
from depth_recog.evaluation.without_truth.matching import matches
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.motion import Motion
from depth_recog.evaluation.without_truth.points import (
    PATCH_STD,
    Evidence,
    evidence_of,
    triangulate,
)
from depth_recog.evaluation.without_truth.views import View, depth_at
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import exp_twist, relative, rotation_angle
from depth_recog.method.pose.refinement import linearised
from depth_recog.method.tracking.tracks import Correspondences


@pytest.fixture(scope="module")
def street() -> Street:
    return street_views()


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
