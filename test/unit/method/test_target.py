# SPDX-License-Identifier: Apache-2.0
"""Block 107: what is compared if the objects move, and if they do not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depth_recog.method.target import target_images

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True, database=None)


def example(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = 0.1 + 0.9 * torch.rand(3, 2, 4, 5, generator=generator)
    projection = 0.1 + 0.9 * torch.rand(3, 2, 4, 5, generator=generator)
    return first, projection, torch.rand(3, 1, 4, 5, generator=generator) < 0.4


@PROPERTY
@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=3, max_size=3))
def test_dynamic_positions_are_masked_in_both_where_they_move(
    seed: int, moving: list[bool]
) -> None:
    first, projection, dynamic = example(seed)
    got = target_images(first, projection, dynamic, torch.tensor(moving))
    for b in range(3):
        for v in range(4):
            for u in range(5):
                out = moving[b] and bool(dynamic[b, 0, v, u])
                assert got.masked[b, 0, v, u] == out
                for c in range(2):
                    assert got.image[b, c, v, u] == (0 if out else first[b, c, v, u])
                    assert got.projection[b, c, v, u] == (0 if out else projection[b, c, v, u])


@pytest.mark.parametrize("moving", [False, True])
def test_one_decision_serves_every_image(moving: bool) -> None:
    first, projection, dynamic = example(1)
    one = target_images(first, projection, dynamic, moving)
    each = target_images(first, projection, dynamic, torch.full((3,), moving))
    for a, b in zip(one, each, strict=True):
        assert torch.equal(a, b)
    assert one.masked.any() == moving


def test_nothing_is_written_into_the_inputs() -> None:
    first, projection, dynamic = example(2)
    before = [x.clone() for x in (first, projection, dynamic)]
    target_images(first, projection, dynamic, True)
    for a, b in zip(before, (first, projection, dynamic), strict=True):
        assert torch.equal(a, b)


def test_masked_positions_get_no_gradient() -> None:
    first, projection, dynamic = example(3)
    projection.requires_grad_()
    got = target_images(first, projection, dynamic, True)
    got.projection.sum().backward()
    assert projection.grad is not None
    assert torch.equal(projection.grad, (~dynamic).expand(3, 2, 4, 5).float())
