# SPDX-License-Identifier: Apache-2.0
"""Triangulated points as pseudo-labels: against exact depth, and their term of the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_runs import batch_of

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.masking import PresetRules
from depth_recog.training.config import LossWeights
from depth_recog.training.data.augmentation import Augmentation
from depth_recog.training.data.points import MOST, PointFinder, in_crop, points_of
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.triplets import Triplet
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import objective, point_error

RULES = PresetRules()
WIDTH, HEIGHT, FRAMES = 416, 128, 7


@pytest.fixture(scope="module")
def street() -> PreparedFrames:
    """Frames of a street without movers, as training reads them."""
    source = f"synthetic:empty?width={WIDTH}&height={HEIGHT}&frames={FRAMES}&seed=3"
    recording = open_source(source)
    frames = [recording[i] for i in range(FRAMES)]
    truths = [recording.truth(i) for i in range(FRAMES)]
    return PreparedFrames(
        source,
        [f.name for f in frames],
        [],
        np.stack([f.image for f in frames]),
        np.stack([t.labels for t in truths]),
        np.stack([f.camera.matrix for f in frames]),
        np.array([f.stamp_ns for f in frames]),
        np.stack([t.world_from_camera for t in truths]),
        depths=np.stack([t.depth for t in truths]),
    )


TRIPLETS = [Triplet(1, 0, 2), Triplet(2, 0, 4), Triplet(6, 5, 6)]


@pytest.fixture(scope="module")
def points(street: PreparedFrames) -> np.ndarray:
    return points_of(street, TRIPLETS, RULES)


def true_depth(street: PreparedFrames, index: int, places: np.ndarray) -> np.ndarray:
    column, row = places.round().astype(int).T
    return street.depths[index][row, column]


def test_points_have_the_depth_of_the_surface(street, points) -> None:
    assert points.shape == (3, MOST, 3)
    for triplet, found in zip(TRIPLETS[:2], points[:2], strict=True):
        found = found[found[:, 2] > 0]
        assert len(found) >= 60
        truth = true_depth(street, triplet.index, found[:, :2])
        known = np.isfinite(truth)
        error = np.abs(np.log(found[known, 2] / truth[known]))
        assert np.median(error) < 0.06
        assert (error > 0.2).mean() < 0.1


@pytest.fixture(scope="module")
def fine() -> tuple[Recording, list[np.ndarray]]:
    """The same street at twice the size, and the points found there, in pixels of the training."""
    recording = open_source(f"synthetic:empty?width=832&height=256&frames={FRAMES}&seed=3")
    finder = PointFinder((WIDTH, HEIGHT))
    tables: list[np.ndarray] = []
    for i in range(FRAMES):
        frame, truth = recording[i], recording.truth(i)
        view = View.of(str(i), frame.stamp_ns, frame.image, frame.camera, truth.labels, RULES)
        tables.extend(finder.add(view.with_pose(truth.world_from_camera)))
    tables.extend(finder.rest())
    return recording, tables


def test_points_of_the_full_size_are_nearer_the_truth(street, points, fine) -> None:
    _, tables = fine
    assert len(tables) == FRAMES
    assert not tables[-1].any(), "the last frame has no later one"
    errors = []
    for found in (points[0], tables[1]):
        found = found[found[:, 2] > 0]
        truth = true_depth(street, 1, found[:, :2])
        far = np.isfinite(truth) & (truth > 10)
        errors.append(np.median(np.abs(np.log(found[far, 2] / truth[far]))))
    assert errors[1] < errors[0]
    assert errors[1] < 0.04


def test_points_with_an_unknown_motion_are_no_metres(fine) -> None:
    """The frame's pose is recorded, so its points would count as metres."""
    recording, _ = fine
    finder = PointFinder((WIDTH, HEIGHT))
    views = []
    for i in range(2):
        frame, truth = recording[3 * i], recording.truth(3 * i)
        view = View.of(str(i), frame.stamp_ns, frame.image, frame.camera, truth.labels, RULES)
        views.append(view.with_pose(truth.world_from_camera))
    whole = [*finder.add(views[0]), *finder.add(views[1]), *finder.rest()]
    assert whole[0].any()
    half = [*finder.add(views[0]), *finder.add(views[1].with_pose(None)), *finder.rest()]
    assert not half[0].any()


def test_the_last_frame_has_no_later_one_and_no_points(points) -> None:
    assert not points[2].any()


def test_without_poses_points_have_one_factor_for_each_frame(street, points) -> None:
    unknown = replace(street, poses=np.full((FRAMES, 4, 4), np.nan))
    found = points_of(unknown, TRIPLETS[:1], RULES)[0]
    both = (found[:, 2] > 0) & (points[0][:, 2] > 0)
    ratio = points[0][both, 2] / found[both, 2]
    assert ratio.std() / ratio.mean() < 1e-3


def test_no_points_where_something_could_move_or_was_not_seen(street) -> None:
    half = np.zeros((HEIGHT, WIDTH), np.bool_)
    half[:, : WIDTH // 2] = True
    found = points_of(street, TRIPLETS[:1], RULES, half)[0]
    assert found.any()
    assert (found[found[:, 2] > 0][:, 0] < WIDTH // 2).all()
    cars = np.array(street.labels)
    cars[:, :, WIDTH // 2 :] = 13
    found = points_of(replace(street, labels=cars), TRIPLETS[:1], RULES)[0]
    assert (found[found[:, 2] > 0][:, 0] < WIDTH // 2).all()


@pytest.mark.parametrize("flip", [False, True])
def test_points_move_with_the_crop(street, points, flip: bool) -> None:
    augmentation = Augmentation(WIDTH, HEIGHT, zoom=1.5, x=150, y=20, flip=flip)
    moved, weights = in_crop(points[0], augmentation)
    assert weights.sum() == pytest.approx(1)
    kept = weights > 0
    assert 20 <= kept.sum() < (points[0][:, 2] > 0).sum()
    depth = augmentation.apply(np.array(street.depths[1]), 0)
    column, row = moved[kept, :2].round().astype(int).T
    ratio = np.abs(np.log(moved[kept, 2] / depth[row, column]))
    assert np.median(ratio[np.isfinite(ratio)]) < 0.04
    # A ray through the moved pixel is the old ray, mirrored where the frame is.
    before = (points[0][kept, 0] - street.intrinsics[1][0, 2]) / street.intrinsics[1][0, 0]
    k = augmentation.intrinsics(street.intrinsics[1])
    after = (moved[kept, 0] - k[0, 2]) / k[0, 0]
    np.testing.assert_allclose(after, -before if flip else before, atol=1e-5)


def test_a_crop_with_few_points_has_none() -> None:
    few = np.zeros((MOST, 3), np.float32)
    few[:10] = (20, 20, 5)
    moved, weights = in_crop(few, Augmentation(WIDTH, HEIGHT))
    assert not weights.any()
    assert not moved.any()


def test_all_intervals_of_depth_count_the_same() -> None:
    rng = np.random.default_rng(0)
    table = np.zeros((MOST, 3), np.float32)
    table[:, :2] = rng.uniform(5, 100, (MOST, 2))
    table[:, 2] = np.where(np.arange(MOST) < 360, rng.uniform(9.6, 10.4, MOST), 40)
    _, weights = in_crop(table, Augmentation(WIDTH, HEIGHT))
    assert 0.3 < weights[table[:, 2] > 30].sum() < 0.7


def batch_with(points: torch.Tensor, weights: torch.Tensor, recorded: bool = True):
    motions = torch.eye(4).expand(len(points), 2, 4, 4).clone()
    if not recorded:
        motions[:] = torch.nan
    frames = torch.zeros(len(points), 3, 3, 32, 64, dtype=torch.uint8)
    return batch_of(frames, points=points, weights=weights, motions=motions)


def slow_error(log_inverse, points, weights, recorded: bool) -> float:
    """One image, point by point."""
    errors = []
    for column, row, depth in points:
        left, top = int(column), int(row)
        value = 0.0
        for dx, wx in ((0, 1 - (column - left)), (1, column - left)):
            for dy, wy in ((0, 1 - (row - top)), (1, row - top)):
                x, y = min(left + dx, 63), min(top + dy, 31)
                value += wx * wy * log_inverse[y, x]
        errors.append(value + np.log(depth))
    offset = 0.0
    if not recorded:
        order = np.argsort(errors)
        reached = np.cumsum(np.asarray(weights)[order])
        offset = errors[order[np.searchsorted(reached, reached[-1] / 2)]]
    return float(np.sum(np.abs(np.array(errors) - offset) * weights))


@pytest.mark.parametrize("recorded", [True, False])
def test_the_term_is_that_of_a_loop_over_the_points(recorded: bool) -> None:
    rng = np.random.default_rng(1)
    log_inverse = rng.normal(-2, 0.5, (32, 64))
    points = np.column_stack(
        (rng.uniform(0, 62, 30), rng.uniform(0, 30, 30), rng.uniform(2, 60, 30))
    )
    weights = rng.uniform(0.1, 1, 30)
    weights /= weights.sum()
    batch = batch_with(torch.tensor(points)[None], torch.tensor(weights)[None], recorded)
    found = point_error(torch.tensor(log_inverse)[None, None], batch)
    assert float(found) == pytest.approx(slow_error(log_inverse, points, weights, recorded))


def test_gradient_of_the_term() -> None:
    torch.manual_seed(0)
    points = torch.rand(2, 25, 3, dtype=torch.float64) * torch.tensor([60.0, 28.0, 20.0]) + 1
    weights = torch.full((2, 25), 1 / 25, dtype=torch.float64)
    batch = batch_with(points, weights)
    log_inverse = torch.randn(2, 1, 32, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: point_error(x, batch), log_inverse)


def test_a_factor_costs_only_where_the_motion_is_recorded() -> None:
    points = torch.rand(1, 40, 3) * torch.tensor([60.0, 28.0, 20.0]) + 1
    weights = torch.full((1, 40), 1 / 40)
    points[..., 2] = 10
    inverse = torch.full((1, 1, 32, 64), 1 / 5.0)
    assert float(point_error(inverse.log(), batch_with(points, weights))) == pytest.approx(
        np.log(2), rel=1e-5
    )
    free = point_error(inverse.log(), batch_with(points, weights, recorded=False))
    assert float(free) == pytest.approx(0, abs=1e-5)


def test_images_without_points_do_not_count() -> None:
    points = torch.zeros(2, 5, 3)
    weights = torch.zeros(2, 5)
    points[0], weights[0] = torch.tensor([10.0, 10.0, 20.0]), 0.2
    inverses = [torch.full((2, 1, 32, 64), 0.1), torch.full((2, 1, 8, 16), 0.1)]
    weights_of_loss = LossWeights(points=0.5, exact=0, contact=0, sky=0, smoothness=0, scale=0)
    batch = batch_with(points, weights)
    terms, _ = objective(batch, Prediction(inverses, None), weights_of_loss, lambda count: count)
    assert float(terms.points) == pytest.approx(0.5 * np.log(2), rel=1e-4)
    none = batch_with(torch.zeros(2, 5, 3), torch.zeros(2, 5))
    terms, _ = objective(none, Prediction(inverses, None), weights_of_loss, lambda count: count)
    assert float(terms.points) == 0
