# SPDX-License-Identifier: Apache-2.0
"""Contact depth as a target for excluded pixels, compared with exact values and a slow loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import batch_of

from depth_recog.method.masking import CITYSCAPES, GROUND, PresetRules
from depth_recog.training.config import LossWeights
from depth_recog.training.depth.contact import (
    LEAST_RISE,
    TOLERANCE,
    contact_error,
    contact_inverse,
    road_planes,
)
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import objective

H, W = 64, 96
HORIZON, FOCAL, HEIGHT = 20.0, 60.0, 1.65
ROAD, SKY, CAR, PERSON, BUILDING = (
    CITYSCAPES.index(name) for name in ("road", "sky", "car", "person", "building")
)
GROUPS = PresetRules().category_ids(np.arange(256, dtype=np.uint8)[None])[0]


def road_inverse(roll: float = 0.0) -> torch.Tensor:
    """(1, 1, H, W): inverse depth of a road below the camera; meaningless above the horizon."""
    v, u = torch.meshgrid(torch.arange(H).float(), torch.arange(W).float(), indexing="ij")
    return ((v - HORIZON + roll * (u - W / 2)) / (FOCAL * HEIGHT))[None, None]


def street() -> torch.Tensor:
    """(1, 1, H, W) labels: sky above, road below."""
    labels = torch.full((1, 1, H, W), SKY, dtype=torch.uint8)
    labels[:, :, int(HORIZON) + 2 :] = ROAD
    return labels


def seen(labels: torch.Tensor, roll: float = 0.0) -> torch.Tensor:
    """Inverse depth of the road, and of something far away elsewhere."""
    return torch.where(labels == ROAD, road_inverse(roll), 0.01)


def everything(labels: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(labels, dtype=torch.bool)


@pytest.mark.parametrize("roll", [0.0, 0.04, -0.03])
def test_a_road_plane_is_fitted_though_a_sixth_of_its_pixels_are_wrong(roll: float) -> None:
    labels = street()
    inverse = seen(labels, roll)
    inverse[:, :, 40:44] *= 3
    plane, good = road_planes(inverse, labels == ROAD)
    assert good.tolist() == [True]
    expected = torch.tensor([roll, 1.0, -HORIZON - roll * W / 2]) / (FOCAL * HEIGHT)
    torch.testing.assert_close(plane[0], expected, rtol=1e-2, atol=1e-5)


def test_noise_a_ceiling_or_few_pixels_give_no_road_plane() -> None:
    labels = street()
    noise = torch.rand(1, 1, H, W, generator=torch.Generator().manual_seed(0)) + 0.05
    ceiling = seen(labels).flip(2)
    few = torch.full_like(labels, SKY)
    few[:, :, 40:48, 40:60] = ROAD
    for inverse, where in (
        (noise, labels == ROAD),
        (ceiling, (labels == ROAD).flip(2)),
        (seen(labels), few == ROAD),
        (seen(labels), torch.zeros_like(labels, dtype=torch.bool)),
    ):
        assert not road_planes(inverse, where)[1].any()


def test_an_upright_object_has_the_depth_of_the_road_where_it_stands() -> None:
    labels = street()
    labels[:, :, 15:41, 30:50] = CAR
    # as for an object that moves with the camera
    inverse = torch.where(labels == CAR, 0.001, seen(labels))
    target, known = contact_inverse(inverse, labels, everything(labels))
    assert torch.equal(known, labels == CAR)
    foot = FOCAL * HEIGHT / (40.5 - HORIZON)
    torch.testing.assert_close(1 / target[known], torch.full((26 * 20,), foot), rtol=1e-3, atol=0)


def test_objects_without_a_visible_ground_contact_have_no_target() -> None:
    labels = street()
    labels[:, :, 15:41, 5:20] = CAR
    labels[:, :, 41:44, 5:20] = BUILDING  # a wall hides its wheels
    labels[:, :, 30:, 30:50] = CAR  # reaches the bottom of the image
    low = int(HORIZON + LEAST_RISE)
    labels[:, :, 20:low, 60:80] = CAR  # its contact is too near to the horizon
    _, known = contact_inverse(seen(labels), labels, everything(labels))
    assert not known.any()
    labels[:, :, low : low + 2, 60:80] = CAR
    _, known = contact_inverse(seen(labels), labels, everything(labels))
    assert known[:, :, :, 60:80].any()
    assert not known[:, :, :, :60].any()


def test_an_object_behind_another_does_not_get_its_contact() -> None:
    labels = street()
    labels[:, :, 15:35, 30:50] = CAR
    labels[:, :, 25:50, 38:42] = PERSON
    _, known = contact_inverse(seen(labels), labels, everything(labels))
    assert torch.equal(known[..., 38:42], labels[..., 38:42] == PERSON)
    assert torch.equal(known[..., 30:38], labels[..., 30:38] == CAR)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_targets_equal_those_of_a_loop_over_columns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = street()
    for _ in range(8):
        kind = [CAR, PERSON, BUILDING, ROAD][rng.integers(4)]
        top, left = rng.integers(0, H - 5), rng.integers(0, W - 5)
        labels[:, :, top : top + rng.integers(2, 30), left : left + rng.integers(2, 30)] = kind
    left_out = torch.from_numpy(rng.random((1, 1, H, W)) < 0.7)
    inverse = seen(labels)
    target, known = contact_inverse(inverse, labels, left_out)
    plane, good = road_planes(inverse, labels == ROAD)
    a, b, c = plane[0].tolist()
    ground = [CITYSCAPES.index(name) for name in GROUND]
    kinds = labels[0, 0].numpy()
    for v in range(0, H, 3):
        for u in range(0, W, 5):
            group, row = GROUPS[kinds[v, u]], v
            while row < H and GROUPS[kinds[row, u]] == group:
                row += 1
            stands = row < H and kinds[row, u] in ground
            there = a * u + b * (row - 0.5) + c
            expected = bool(
                good[0] and group and left_out[0, 0, v, u] and stands and there > LEAST_RISE * b
            )
            assert known[0, 0, v, u] == expected
            if expected:
                assert target[0, 0, v, u] == pytest.approx(there, rel=1e-4)


def test_only_the_object_has_a_gradient_and_only_beyond_the_tolerance() -> None:
    labels = street()
    labels[:, :, 15:41, 30:50] = CAR
    start = torch.where(labels == CAR, 0.05, seen(labels)).requires_grad_()
    target, known = contact_inverse(start, labels, everything(labels))
    error = torch.where(known, contact_error(start, target), 0.0).sum()
    slope = torch.autograd.grad(error, start)[0]
    assert ((slope != 0) == known).all()
    assert (slope[known] < 0).all(), "0.05 is too far: its inverse depth must grow"
    near = target * torch.tensor(1 + 0.9 * TOLERANCE)
    assert (contact_error(near, target) == 0).all()
    assert contact_error(target * 2, target).mean() == pytest.approx(np.log(2) - TOLERANCE)


def test_the_loss_applies_where_neither_neighbour_is_compared() -> None:
    labels = street()
    labels[:, :, 15:41, 30:50] = CAR
    inverse = torch.where(labels == CAR, 0.05, seen(labels))
    masked = torch.zeros(1, 2, 2, H, W, dtype=torch.bool)
    masked[:, :, 0, :, 25:45] = True
    masked[:, 0, 0, :, 45:] = True  # with one neighbour only
    masked[:, :, 1, :, 60:] = True  # in the neighbours, where nothing stands
    images = torch.randint(0, 255, (1, 3, 3, H, W), dtype=torch.uint8)
    k = torch.tensor([[[FOCAL, 0, W / 2], [0, FOCAL, HORIZON], [0, 0, 1]]])
    batch = batch_of(images, masked=masked, labels=labels, intrinsics=k)
    predicted = Prediction([inverse, inverse[..., ::4, ::4]], None)
    terms, _ = objective(batch, predicted, LossWeights(contact=0.3), lambda count: count)
    foot = (40.5 - HORIZON) / (FOCAL * HEIGHT)
    assert float(terms.contact) == pytest.approx(0.3 * (np.log(foot / 0.05) - TOLERANCE), rel=2e-2)
    bare = batch_of(images, labels=labels, intrinsics=k)
    assert objective(bare, predicted, LossWeights(contact=0.3), lambda c: c)[0].contact == 0
