# SPDX-License-Identifier: Apache-2.0
"""Block 108's gradient error: difference by difference, and against kornia."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depth_recog.method.loss.smoothness import gradient_error


def plain(inverse: np.ndarray, image: np.ndarray) -> float:
    """Ls of a (B, H, W) inverse depth and a (B, C, H, W) image; means over each direction."""
    _, height, width = inverse.shape
    along_x, along_y = [], []
    for b, v, u in np.ndindex(inverse.shape):
        mean = sum(inverse[b].flat) / (height * width)
        for sums, dv, du in ((along_x, 0, 1), (along_y, 1, 0)):
            if v + dv < height and u + du < width:
                step = abs(inverse[b, v + dv, u + du] - inverse[b, v, u]) / mean
                edge = np.mean(abs(image[b, :, v + dv, u + du] - image[b, :, v, u]))
                sums.append(step * math.exp(-edge))
    return sum(along_x) / len(along_x) + sum(along_y) / len(along_y)


def example(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    inverse, image = 0.05 + rng.random((2, 1, 5, 6)), rng.random((2, 3, 5, 6))
    return torch.from_numpy(inverse), torch.from_numpy(image)


@given(st.integers(0, 10_000))
def test_gradient_error_equals_the_text(seed: int) -> None:
    inverse, image = example(seed)
    expected = plain(inverse[:, 0].numpy(), image.numpy())
    assert gradient_error(inverse, image).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_error_agrees_with_kornia() -> None:
    """Which leaves the normalisation to its caller."""
    kornia = pytest.importorskip("kornia")
    inverse, image = example(1)
    normalised = inverse / inverse.mean((2, 3), keepdim=True)
    theirs = kornia.losses.inverse_depth_smoothness_loss(normalised, image)
    torch.testing.assert_close(gradient_error(inverse, image), theirs)


def test_gradient_error_is_differentiable() -> None:
    inverse, image = example(2)
    inverse.requires_grad_()
    image.requires_grad_()
    assert torch.autograd.gradcheck(gradient_error, (inverse, image))


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_the_unit_of_depth_does_not_matter(seed: int, scale: float) -> None:
    inverse, image = example(seed)
    torch.testing.assert_close(
        gradient_error(inverse * scale, image), gradient_error(inverse, image)
    )


@pytest.mark.parametrize("axis", [2, 3])
def test_a_step_costs_less_on_an_edge_of_the_image(axis: int) -> None:
    """exp(-|dI|): a step of 0.5 in the image costs exp(-0.5) of what it costs on a flat one."""
    inverse = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    inverse.narrow(axis, 2, 2).fill_(2)
    flat = torch.full((1, 3, 4, 4), 0.25, dtype=torch.float64)
    edge = flat.clone()
    edge.narrow(axis, 2, 2).add_(0.5)
    # One of three differences in one direction is 1, over the mean of 1.5.
    assert gradient_error(inverse, flat).item() == pytest.approx(1 / 1.5 / 3)
    ratio = gradient_error(inverse, edge) / gradient_error(inverse, flat)
    assert ratio.item() == pytest.approx(math.exp(-0.5))
    elsewhere = flat.clone()
    elsewhere.narrow(axis, 1, 3).add_(0.5)
    assert gradient_error(inverse, elsewhere).item() == pytest.approx(1 / 1.5 / 3)


def test_flat_depth_costs_nothing() -> None:
    _, image = example(3)
    assert gradient_error(torch.full((2, 1, 5, 6), 0.3, dtype=torch.float64), image) == 0


def test_unknown_depth_is_left_out() -> None:
    """As if the image ended there: a column of NaN at the border changes nothing."""
    inverse, image = example(3)
    hole = inverse.clone()
    hole[..., -1] = torch.nan
    expected = gradient_error(inverse[..., :-1], image[..., :-1])
    torch.testing.assert_close(gradient_error(hole, image), expected)
