# SPDX-License-Identifier: Apache-2.0
"""Blocks 103 and 107: categories, static and dynamic images, target images, pixel by pixel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.errors import ConfigurationError
from depth_recog.method import masking
from depth_recog.method.loss.target import target_images
from depth_recog.method.masking import CITYSCAPES, PresetRules

PEOPLE = {"person", "rider", "motorcycle", "bicycle"}
VEHICLES = {"car", "truck", "bus", "train"}


def random_labels(seed: int) -> NDArray[np.uint8]:
    """(4, 5) class ids, some of them 255: no class."""
    return np.random.default_rng(seed).choice([*range(19), 255], (4, 5)).astype(np.uint8)


def test_vehicles_and_people_are_dynamic() -> None:
    labels = np.arange(19, dtype=np.uint8)[None]
    names = {CITYSCAPES[i] for i in np.flatnonzero(PresetRules().dynamic_pixels(labels)[0])}
    assert names == PEOPLE | VEHICLES
    assert CITYSCAPES[masking.SKY] == "sky"


@given(st.integers(0, 10_000), st.sets(st.sampled_from(CITYSCAPES)))
def test_pixels_are_found_by_class_name(seed: int, names: set[str]) -> None:
    labels = random_labels(seed)
    dynamic = PresetRules(dynamic=tuple(names)).dynamic_pixels(labels)
    named = PresetRules().pixels_of(labels, (*names, "unicorn"))
    assert dynamic.dtype == named.dtype == np.bool_
    for at in np.ndindex(4, 5):
        expected = labels[at] < 19 and CITYSCAPES[labels[at]] in names
        assert dynamic[at] == named[at] == expected, "pixels without a class are static"


def test_other_preset_objects() -> None:
    rules = PresetRules(("floor", "cart", "wall"), ("cart",))
    assert rules.dynamic_pixels(np.array([[0, 1, 2]], np.uint8)).tolist() == [[False, True, False]]
    with pytest.raises(ConfigurationError, match=r"'robot' is not one of.*floor, cart, wall"):
        PresetRules(("floor", "cart", "wall"), ("cart", "robot"))


@given(st.integers(0, 10_000))
def test_each_pixel_is_in_the_static_or_the_dynamic_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 256, (5, 6, 3)).astype(np.uint8)
    dynamic = rng.random((5, 6)) < 0.4
    kept = image.copy()
    static, moving = masking.static_image(image, dynamic), masking.dynamic_image(image, dynamic)
    for at in np.ndindex(5, 6):
        shown, hidden = (moving, static) if dynamic[at] else (static, moving)
        np.testing.assert_array_equal(shown[at], image[at])
        assert not hidden[at].any()
    assert static.dtype == moving.dtype == np.uint8
    np.testing.assert_array_equal(image, kept)
    static[:] = 0
    np.testing.assert_array_equal(image, kept)


@given(st.integers(0, 10_000), st.integers(0, 4))
def test_dilation_grows_by_a_square(seed: int, pixels: int) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) < 0.05
    got = masking.dilated(mask, pixels)
    assert got.dtype == np.bool_
    for v, u in np.ndindex(9, 11):
        near = mask[max(v - pixels, 0) : v + pixels + 1, max(u - pixels, 0) : u + pixels + 1]
        assert got[v, u] == near.any()


@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(CITYSCAPES), unique=True),
    st.lists(st.sampled_from(CITYSCAPES), unique=True, max_size=8),
)
def test_classes_that_move_together_are_one_category(
    seed: int, dynamic: list[str], alike: list[str]
) -> None:
    """0 is static; two pixels share an id if their classes are in one category."""
    labels = random_labels(seed)
    rules = PresetRules(dynamic=tuple(dynamic), categories=(tuple(alike),))
    got = rules.category_ids(labels)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got > 0, rules.dynamic_pixels(labels))
    dynamic_pixels = [at for at in np.ndindex(4, 5) if got[at]]
    for one, other in product(dynamic_pixels, repeat=2):
        a, b = CITYSCAPES[labels[one]], CITYSCAPES[labels[other]]
        assert (got[one] == got[other]) == (a == b or (a in alike and b in alike))


def test_vehicles_and_people_are_two_categories() -> None:
    categories = PresetRules().category_ids(np.arange(19, dtype=np.uint8)[None])[0]
    by_name = dict(zip(CITYSCAPES, categories.tolist(), strict=True))
    vehicles, people = ({by_name[n] for n in names} for names in (VEHICLES, PEOPLE))
    assert len(vehicles) == len(people) == 1
    assert vehicles != people
    assert {g for n, g in by_name.items() if n not in masking.DYNAMIC} == {0}


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_components_are_what_a_walk_over_neighbours_finds(seed: int, full: float) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < full
    got = masking.components_of(mask)
    assert got.dtype == np.int32
    expected = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if expected[start]:
            continue
        queue, number = [start], expected.max() + 1
        while queue:
            v, u = queue.pop()
            if 0 <= v < 9 and 0 <= u < 12 and mask[v, u] and not expected[v, u]:
                expected[v, u] = number
                queue += [(v + dv, u + du) for dv in (-1, 0, 1) for du in (-1, 0, 1)]
    # The same pieces, whatever their numbers.
    pairs = set(zip(got.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})
    np.testing.assert_array_equal(got > 0, mask)


# --- target images --------------------------------------------------------------------------------


def example(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = 0.1 + 0.9 * torch.rand(3, 2, 4, 5, generator=generator)
    projection = 0.1 + 0.9 * torch.rand(3, 2, 4, 5, generator=generator)
    return first, projection, torch.rand(3, 1, 4, 5, generator=generator) < 0.4


@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=3, max_size=3))
def test_dynamic_positions_are_masked_in_both_where_they_move(
    seed: int, moving: list[bool]
) -> None:
    first, projection, dynamic = example(seed)
    got = target_images(first, projection, dynamic, torch.tensor(moving))
    for b, c, v, u in np.ndindex(3, 2, 4, 5):
        out = moving[b] and bool(dynamic[b, 0, v, u])
        assert got.masked[b, 0, v, u] == out
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
    assert torch.equal(projection.grad, (~dynamic).expand(3, 2, 4, 5).float())


def test_ids_become_train_ids_by_name() -> None:
    rules = PresetRules(("car", "dog", "road"), ("dog",))
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    assert rules.train_ids(ids).tolist() == [[13, 255, 0, 255]]
    assert rules.dynamic_pixels(ids).tolist() == [[False, True, False, False]]
    assert not rules.sky_pixels(ids).any()
    usual = np.arange(19, dtype=np.uint8)[None]
    assert PresetRules().train_ids(usual).tolist() == usual.tolist()
    assert PresetRules().sky_pixels(usual).nonzero()[1].tolist() == [CITYSCAPES.index("sky")]
