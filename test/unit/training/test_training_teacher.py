# SPDX-License-Identifier: Apache-2.0
"""A teacher that is affine in inverse depth, fitted to points or to the start, teaches the rest."""

import numpy as np
import pytest
import torch
from training_runs import batch_of

from depth_recog.method.masking import SKY
from depth_recog.training.config import LossWeights
from depth_recog.training.data.points import MOST
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.teacher import teacher_depth
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import objective

HEIGHT, WIDTH = 32, 64
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
INVERSE = 0.02 + 0.3 * ROWS / HEIGHT + 0.1 * (COLUMNS > 40)
UNIT = 0.5
"""Length of a unit of the points that have none, metres."""


def prepared(recorded: bool = True) -> PreparedFrames:
    """One frame: the teacher is exactly affine, the start is flat and 20 % too near."""
    pose = np.eye(4) if recorded else np.full((4, 4), np.nan)
    start = 1.2 * INVERSE.mean() * np.exp(0.3 * np.log(INVERSE / INVERSE.mean()))
    return PreparedFrames(
        "street",
        ["0"],
        [],
        np.zeros((1, HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH), np.uint8),
        np.eye(3)[None],
        np.zeros(1, np.int64),
        pose[None],
        anchors=start.astype(np.float16)[None],
        teachers=(7 * INVERSE + 0.6).astype(np.float32)[None],
    )


def points(unit: float = 1.0, count: int = 80) -> np.ndarray:
    """Points on the left half alone."""
    table = np.zeros((MOST, 3), np.float32)
    rng = np.random.default_rng(1)
    table[:count, 0] = rng.integers(0, 30, count)
    table[:count, 1] = rng.integers(0, HEIGHT, count)
    at = INVERSE[table[:count, 1].astype(int), table[:count, 0].astype(int)]
    table[:count, 2] = 1 / at / unit
    return table


def test_points_in_metres_fit_it_exactly() -> None:
    found = teacher_depth(prepared(), 0, points())
    np.testing.assert_allclose(found, INVERSE, rtol=1e-3)


def test_points_without_a_unit_get_that_of_the_start() -> None:
    frames = prepared(recorded=False)
    found = teacher_depth(frames, 0, points(UNIT))
    ratio = found / INVERSE
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)
    left = frames.anchor(0)[:, :30] / INVERSE[:, :30]
    assert ratio[0, 0] == pytest.approx(np.median(left), rel=0.2)


def test_without_points_it_is_fitted_to_the_start() -> None:
    frames = prepared()
    for none in (None, points(count=5)):
        found = teacher_depth(frames, 0, none)
        error = np.abs(np.log(found[found > 0] / frames.anchor(0)[found > 0]))
        assert np.median(error) < 0.1


def test_it_improves_where_the_points_have_none() -> None:
    """A free inverse depth learns from points on the left, and from the teacher on the right."""
    table = torch.from_numpy(points()[None])
    taught = torch.from_numpy(teacher_depth(prepared(), 0, points()))[None, None]
    true = torch.from_numpy(INVERSE)[None, None].float()
    wrong = {}
    for weight in (0.0, 0.5):
        weights = LossWeights(points=0.3, teacher=weight, contact=0, sky=0, scale=0, smoothness=0)
        free = torch.full((1, 1, HEIGHT, WIDTH), -2.0, requires_grad=True)
        known = {"points": table, "weights": (table[..., 2] > 0).float() / 80, "teacher": taught}
        batch = batch_of(torch.zeros(1, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8), **known)
        optimiser = torch.optim.Adam([free], lr=0.05)
        for _ in range(60):
            optimiser.zero_grad()
            inverse = free.exp()
            terms, _ = objective(batch, Prediction([inverse], None), weights, lambda counts: counts)
            terms.total.backward()
            optimiser.step()
        error = (free.detach() - true.log()).abs()
        wrong[weight] = float(error[..., 40:].mean())
    assert wrong[0.5] < 0.15
    assert wrong[0.0] > 3 * wrong[0.5]


def test_the_sky_and_dense_truth_are_not_taught() -> None:
    shape = (1, 1, HEIGHT, WIDTH)
    taught = torch.full(shape, 0.2)
    predicted = Prediction([torch.full(shape, 0.1)], None)
    frames = torch.zeros(1, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8)

    def term(**known: torch.Tensor) -> float:
        batch = batch_of(frames, teacher=taught, **known)
        return float(objective(batch, predicted, LossWeights(), lambda counts: counts)[0].teacher)

    assert term() == pytest.approx(LossWeights().teacher * np.log(2), rel=1e-4)
    assert term(labels=torch.full(shape, SKY, dtype=torch.uint8)) == 0
    assert term(truth=torch.full(shape, 10.0)) == 0
