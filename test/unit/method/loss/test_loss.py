# SPDX-License-Identifier: Apache-2.0
"""Block 108 for a pair: which pixels are compared, and that nothing else gets in."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depth_recog.method.geometry import se3_tensors
from depth_recog.method.geometry.projection import projection_image
from depth_recog.method.loss import pair as loss
from depth_recog.method.loss import photometric
from depth_recog.method.loss.pair import ImagePair

H, W = 8, 10
NOTHING = torch.zeros(1, 1, H, W, dtype=torch.bool)
K = torch.tensor([[[9.0, 0.0, 4.2], [0.0, 11.0, 3.1], [0.0, 0.0, 1.0]]], dtype=torch.float64)
MOTION = (0.01, -0.02, 0.03, 0.15, -0.08, 0.2)


def example(seed: int, batch: int = 1, channels: int = 3) -> tuple[Tensor, ...]:
    """I1, I2, D1, K, T: images in 0..1, depth in 2..6."""
    rng = np.random.default_rng(seed)
    first, second = (torch.from_numpy(rng.random((batch, channels, H, W))) for _ in range(2))
    depth = torch.from_numpy(rng.uniform(2, 6, (batch, 1, H, W)))
    T = se3_tensors.from_vector(torch.tensor(MOTION, dtype=torch.float64)).expand(batch, 4, 4)
    return first, second, depth, K.expand(batch, 3, 3), T


def masks(seed: int, share: float = 0.12, batch: int = 1) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    one, two = (torch.from_numpy(rng.random((batch, 1, H, W)) < share) for _ in range(2))
    return one, two


def plain_valid(
    depth: np.ndarray, T: np.ndarray, masked1: np.ndarray, masked2: np.ndarray
) -> np.ndarray:
    """Claim 5 and METHOD: not masked, in front, inside, no masked tap, nor in the window."""
    fx, fy, cx, cy = 9.0, 11.0, 4.2, 3.1
    single = np.zeros((H, W), bool)
    for v, u in np.ndindex(H, W):
        z = depth[v, u]
        point = T @ np.array([(u - cx) / fx * z, (v - cy) / fy * z, z, 1.0])
        if masked1[v, u] or point[2] <= 1e-3:
            continue
        x, y = fx * point[0] / point[2] + cx, fy * point[1] / point[2] + cy
        border = 1e-3  # rounding must not decide
        if -border <= x <= W - 1 + border and -border <= y <= H - 1 + border:
            x, y = min(max(x, 0), W - 1), min(max(y, 0), H - 1)
            single[v, u] = not masked2[int(y) : int(y) + 2, int(x) : int(x) + 2].any()
    whole = np.zeros((H, W), bool)
    for v, u in np.ndindex(H, W):
        whole[v, u] = single[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2].all()
    return whole


@given(st.integers(0, 10_000))
def test_the_pixels_that_are_compared(seed: int) -> None:
    first, second, depth, k, T = example(seed)
    one, two = masks(seed, 0.06)
    got = loss.pair_error(ImagePair(first, second, one, two), depth, k, T)
    expected = plain_valid(depth[0, 0].numpy(), T[0].numpy(), one[0, 0].numpy(), two[0, 0].numpy())
    np.testing.assert_array_equal(got.valid[0, 0].numpy(), expected)
    image, _ = projection_image(second, depth, k, T)
    torch.testing.assert_close(got.projection, image)
    torch.testing.assert_close(got.error, photometric.photometric_error(first, image))


def test_no_masks_means_nothing_is_masked() -> None:
    first, second, depth, k, T = example(1)
    without = loss.pair_error(ImagePair(first, second), depth, k, T)
    empty = loss.pair_error(ImagePair(first, second, NOTHING, NOTHING), depth, k, T)
    assert torch.equal(without.valid, empty.valid)
    assert without.valid.any()
    assert not without.valid.all()


def mean_error(images: ImagePair, *geometry: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the pairs of their mean errors over valid pixels, and the number of those."""
    error, valid, _ = loss.pair_error(images, *geometry)
    means, counts = photometric.masked_mean(error, valid)
    return means.sum() / (counts > 0).sum().clamp(min=1), counts.sum()


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_masked_pixels_do_not_matter(seed: int, share: float) -> None:
    first, second, depth, k, T = example(seed)
    one, two = masks(seed, share)
    before, count = mean_error(ImagePair(first, second, one, two), depth, k, T)
    rng = np.random.default_rng(seed + 1)
    paint = [torch.from_numpy(rng.uniform(0, 9, (1, 3, H, W))) for _ in range(2)]
    painted = torch.where(one, paint[0], first), torch.where(two, paint[1], second)
    after, same = mean_error(ImagePair(*painted, one, two), depth, k, T)
    assert count == same
    assert after.item() == pytest.approx(before.item(), abs=1e-12)


@given(st.integers(0, 10_000))
def test_masked_pixels_get_no_photometric_gradient(seed: int) -> None:
    first, second, depth, k, T = example(seed)
    one, two = masks(seed)
    depth.requires_grad_()
    got, _ = mean_error(ImagePair(first, second, one, two), depth, k, T)
    (gradient,) = torch.autograd.grad(got, depth, allow_unused=True)
    assert torch.isfinite(gradient).all()
    assert (gradient[one] == 0).all()


def test_loss_is_differentiable_in_depth_and_motion() -> None:
    first, second, depth, k, _ = example(5)
    one, two = masks(6, 0.03)
    vector = torch.tensor([MOTION], dtype=torch.float64, requires_grad=True)
    depth.requires_grad_()

    images = ImagePair(first, second, one, two)
    assert mean_error(images, depth, k, se3_tensors.from_vector(vector))[1] > 5
    assert torch.autograd.gradcheck(
        lambda d, m: mean_error(images, d, k, se3_tensors.from_vector(m))[0], (depth, vector)
    )


@pytest.mark.parametrize("why", ["masked", "behind", "outside", "masked second"])
def test_no_valid_pixel_is_zero_with_zero_gradient_and_never_nan(why: str) -> None:
    first, second, depth, k, T = example(7)
    one, two = (NOTHING | (why == "masked")), (NOTHING | (why == "masked second"))
    T = T.clone()
    if why == "behind":
        T[:, 2, 3] = -50
    if why == "outside":
        T[:, 0, 3] = 500
    depth.requires_grad_()
    T.requires_grad_()
    got, count = mean_error(ImagePair(first, second, one, two), depth, k, T)
    assert count == got == 0
    gradients = torch.autograd.grad(got, (depth, T))
    assert all((g == 0).all() for g in gradients)


def test_an_empty_pair_leaves_the_others_loss_as_it_was() -> None:
    first, second, depth, k, T = example(8, batch=3)
    alone = []
    for b in range(3):
        one, two, *geometry = (x[b : b + 1] for x in (first, second, depth, k, T))
        alone.append(mean_error(ImagePair(one, two), *geometry)[0].item())
    one = torch.stack((NOTHING[0], ~NOTHING[0], NOTHING[0]))
    got, _ = mean_error(ImagePair(first, second, one), depth, k, T)
    assert got.item() == pytest.approx((alone[0] + alone[2]) / 2)


@pytest.mark.parametrize("unknown", [math.inf, math.nan])
def test_unknown_depth_is_left_out_of_the_comparison(unknown: float) -> None:
    first, second, depth, k, T = example(9)
    hole = depth.clone()
    hole[0, 0, 4, 5] = unknown
    got = loss.pair_error(ImagePair(first, second), hole, k, T)
    assert torch.isfinite(got.error[got.valid]).all()
    assert not got.valid[0, 0, 3:6, 4:7].any()
    full = loss.pair_error(ImagePair(first, second), depth, k, T)
    far = torch.ones_like(full.valid)
    far[0, 0, 3:6, 4:7] = False
    assert torch.equal(got.valid & far, full.valid & far)


# --- options on top -----------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_minimum_over_neighbours(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    errors = [rng.random((2, 1, 3, 4)) for _ in range(3)]
    valids = [rng.random((2, 1, 3, 4)) >= share for _ in range(3)]
    dirty = [np.where(v, e, np.nan) for e, v in zip(errors, valids, strict=True)]
    got, valid = loss.minimum_over_neighbours(
        [torch.from_numpy(e) for e in dirty], [torch.from_numpy(v) for v in valids]
    )
    for at in np.ndindex(2, 1, 3, 4):
        known = [e[at] for e, v in zip(errors, valids, strict=True) if v[at]]
        assert valid[at] == bool(known)
        assert got[at] == (min(known) if known else 0)


def test_only_the_least_neighbour_gets_a_gradient() -> None:
    error = torch.tensor([[[[0.2, 0.9, 0.5]]]], requires_grad=True)
    other = torch.tensor([[[[0.4, 0.1, 0.5]]]], requires_grad=True)
    valid = torch.tensor([[[[True, True, False]]]])
    least, _ = loss.minimum_over_neighbours([error, other], [valid, valid])
    least.sum().backward()
    assert error.grad.flatten().tolist() == [1, 0, 0]
    assert other.grad.flatten().tolist() == [0, 1, 0]


def test_still_pixels_match_the_neighbour_itself() -> None:
    """As well or better: equality is still. The best of several neighbours counts."""
    first, second, *_ = example(10)
    third = first.clone()
    third[..., :5] = second[..., :5]
    unmoved = photometric.photometric_error(first, second)
    assert loss.still_pixels(unmoved, first, [second]).all()
    assert not loss.still_pixels(unmoved - 1e-6, first, [second]).any()
    assert loss.still_pixels(unmoved + 1e-6, first, [second]).all()
    both = loss.still_pixels(torch.full_like(unmoved, 1e-4), first, [second, third])
    assert both[..., 7:].all(), "the third is the first there"
    assert not both[..., :4].any()


def test_every_pixel_of_a_camera_at_rest_is_still() -> None:
    first, _, depth, k, _ = example(11)
    T = se3_tensors.from_vector(torch.tensor([MOTION]).double())
    error = loss.pair_error(ImagePair(first, first), depth, k, T)
    assert loss.still_pixels(error.error, first, [first]).all()


def test_the_structural_weight_can_be_chosen() -> None:
    first, second, depth, k, T = example(12)
    plain = loss.pair_error(ImagePair(first, second), depth, k, T, alpha=0.0)
    expected = (first - plain.projection).abs().mean(1, keepdim=True)
    torch.testing.assert_close(plain.error, expected)
    unmoved = (first - second).abs().mean(1, keepdim=True)
    assert not loss.still_pixels(unmoved - 1e-9, first, [second], alpha=0.0).any()
