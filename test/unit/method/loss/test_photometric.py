# SPDX-License-Identifier: Apache-2.0
"""Block 108's photometric error, window by window, and means over valid pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depth_recog.method.loss import photometric


def reflected(index: int, length: int) -> int:
    """Mirrored about the centre of the border pixel: -1 is 1."""
    if index < 0:
        return -index
    return 2 * (length - 1) - index if index >= length else index


def plain_ssim(x: np.ndarray, y: np.ndarray, dynamic_range: float = 1.0) -> np.ndarray:
    """Claim 8 on one channel: means, variances and covariance of nine pixels each."""
    c1, c2 = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    result = np.zeros_like(x)
    for v, u in np.ndindex(x.shape):
        around = [(v + dv, u + du) for dv in (-1, 0, 1) for du in (-1, 0, 1)]
        window = [tuple(map(reflected, at, x.shape)) for at in around]
        a, b = ([image[at] for at in window] for image in (x, y))
        mx, my = sum(a) / 9, sum(b) / 9
        vx = sum((p - mx) ** 2 for p in a) / 9
        vy = sum((q - my) ** 2 for q in b) / 9
        cov = sum((p - mx) * (q - my) for p, q in zip(a, b, strict=True)) / 9
        luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        result[v, u] = luminance * (2 * cov + c2) / (vx + vy + c2)
    return result


def plain_error(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Lt = alpha (1 - SSIM) / 2 + (1 - alpha) |x - y|, (C, H, W), averaged over the channels."""
    errors = [
        alpha * (1 - plain_ssim(a, b)) / 2 + (1 - alpha) * abs(a - b)
        for a, b in zip(x, y, strict=True)
    ]
    return sum(errors) / len(errors)


def images(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """An image, and one that is like it in part: neither 0 nor 1 in SSIM."""
    rng = np.random.default_rng(seed)
    first = rng.random(shape)
    second = np.clip(0.7 * first + 0.3 * rng.random(shape), 0, 1)
    return torch.from_numpy(first), torch.from_numpy(second)


@pytest.mark.parametrize("dynamic_range", [1.0, 255.0, 0.3])
def test_ssim_equals_the_text_window_by_window(dynamic_range: float) -> None:
    x, y = images(1, 2, 3, 7, 9)
    got = photometric.ssim(x * dynamic_range, y * dynamic_range, dynamic_range)
    for at in np.ndindex(2, 3):
        one, two = (image[at].numpy() * dynamic_range for image in (x, y))
        # Variances as E[x^2] - E[x]^2 lose a few digits.
        np.testing.assert_allclose(got[at], plain_ssim(one, two, dynamic_range), atol=1e-10)


def test_ssim_constants_matter_where_there_is_no_texture() -> None:
    """Two flat images: (2 a b + c1) / (a^2 + b^2 + c1), and 1 in the second factor."""
    a, b = torch.full((1, 1, 5, 5), 0.01), torch.full((1, 1, 5, 5), 0.03)
    c1 = 0.0001
    expected = (2 * 0.0003 + c1) / (0.0001 + 0.0009 + c1)
    np.testing.assert_allclose(photometric.ssim(a.double(), b.double()), expected, rtol=1e-6)
    # A faint checkerboard against its opposite, on the same mean: (c2 - 2 v) / (c2 + 2 v).
    board = torch.from_numpy(np.indices((6, 6)).sum(0) % 2)[None, None].double() - 0.5
    got = photometric.ssim(0.5 + 0.02 * board, 0.5 - 0.02 * board)[0, 0, 2, 2].item()
    v = 0.02**2 * (20 / 81)
    m = 0.02 / 18
    luminance = (2 * (0.25 - m**2) + c1) / (2 * (0.25 + m**2) + c1)
    assert got == pytest.approx(luminance * (0.0009 - 2 * v) / (0.0009 + 2 * v), abs=1e-9)


@given(st.integers(0, 10_000))
def test_ssim_is_symmetric_bounded_and_one_for_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (torch.from_numpy(rng.random((1, 2, 6, 5))) for _ in range(2))
    one = photometric.ssim(x, y)
    torch.testing.assert_close(one, photometric.ssim(y, x))
    assert (one.abs() <= 1 + 1e-12).all()
    torch.testing.assert_close(photometric.ssim(x, x), torch.ones_like(x))
    scaled = photometric.ssim(255 * x, 255 * y, 255.0)
    torch.testing.assert_close(scaled, one, atol=1e-8, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.85, 1.0])
def test_photometric_error_equals_the_text(alpha: float) -> None:
    x, y = images(3, 2, 3, 6, 8)
    got = photometric.photometric_error(x, y, alpha)
    assert got.shape == (2, 1, 6, 8)
    for b in range(2):
        np.testing.assert_allclose(got[b, 0], plain_error(x[b].numpy(), y[b].numpy(), alpha))


def test_alpha_is_the_weight_of_the_structural_part() -> None:
    """A shift in brightness of a flat image has hardly any structure to lose."""
    assert photometric.ALPHA == 0.85
    a, b = (torch.full((1, 3, 5, 5), x, dtype=torch.float64) for x in (0.5, 0.7))
    by_hand = 0.85 * (1 - (0.7 + 1e-4) / (0.25 + 0.49 + 1e-4)) / 2 + 0.15 * 0.2
    np.testing.assert_allclose(photometric.photometric_error(a, b), by_hand, rtol=1e-9)
    assert photometric.photometric_error(a, a).abs().max() < 1e-12


def test_errors_are_differentiable() -> None:
    x, y = images(4, 1, 2, 5, 4)
    x.requires_grad_()
    y.requires_grad_()
    assert torch.autograd.gradcheck(photometric.ssim, (x, y))
    assert torch.autograd.gradcheck(photometric.photometric_error, (x, y))


@given(st.integers(0, 10_000), st.floats(0.0, 0.3))
def test_whole_windows_touch_no_invalid_pixel(seed: int, share: float) -> None:
    valid = np.random.default_rng(seed).random((2, 1, 6, 7)) >= share
    got = photometric.whole_windows(torch.from_numpy(valid)).numpy()
    for b, v, u in np.ndindex(2, 6, 7):
        window = valid[b, 0, max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
        assert got[b, 0, v, u] == window.all()


def test_the_ssim_of_a_whole_window_ignores_every_other_pixel() -> None:
    """What `whole_windows` promises, at the reflected border too."""
    x, y = images(5, 1, 1, 7, 8)
    valid = torch.ones(1, 1, 7, 8, dtype=torch.bool)
    valid[0, 0, 3, 4] = valid[0, 0, 0, 0] = valid[0, 0, 6, 6] = False
    whole = photometric.whole_windows(valid)
    other = torch.where(valid, y, 1 - y)
    before, after = photometric.ssim(x, y), photometric.ssim(x, other)
    assert torch.equal(before[whole], after[whole])
    assert not torch.isclose(before, after)[~whole].any(), "every dropped window was touched"


@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.sampled_from([0.0, 1e30, np.nan, np.inf]))
def test_masked_mean_is_the_mean_of_valid_pixels(seed: int, share: float, junk: float) -> None:
    rng = np.random.default_rng(seed)
    values, valid = rng.normal(size=(3, 1, 4, 5)), rng.random((3, 1, 4, 5)) >= share
    dirty = torch.from_numpy(np.where(valid, values, junk)).requires_grad_()
    mean, count = photometric.masked_mean(dirty, torch.from_numpy(valid))
    mean.sum().backward()
    for b in range(3):
        chosen = [x for x, ok in zip(values[b].flat, valid[b].flat, strict=True) if ok]
        assert count[b] == len(chosen)
        assert mean[b].item() == pytest.approx(sum(chosen) / max(len(chosen), 1), abs=1e-12)
        expected = valid[b] / max(len(chosen), 1)
        np.testing.assert_allclose(dirty.grad[b].numpy(), expected, rtol=1e-12)


def test_no_valid_pixel_is_zero_with_zero_gradient() -> None:
    values = torch.full((2, 1, 3, 3), torch.nan, requires_grad=True)
    mean, count = photometric.masked_mean(values, torch.zeros(2, 1, 3, 3, dtype=torch.bool))
    assert mean.tolist() == [0, 0]
    assert count.tolist() == [0, 0]
    mean.sum().backward()
    assert values.grad.abs().sum() == 0
