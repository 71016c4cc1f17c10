# SPDX-License-Identifier: Apache-2.0
"""Placebos lie on static background, have the size of objects, and follow their surface."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.evaluation.placebos.placebos import (
    MARGIN,
    SECONDS,
    SHAPES,
    Placebo,
    Placebos,
    PlaceboShape,
    half_size,
)
from depth_recog.evaluation.placebos.samples import PlaceboLabels
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES, PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.tracking.tracks import Correspondences

CAMERA = Camera(208, 128, 121.0, 123.0, 100.0, 60.0)
SHAPE = (CAMERA.height, CAMERA.width)
CAR, PERSON = SHAPES
ALL = np.ones(SHAPE, np.bool_)
SECOND = 10**9


def texture(seed: int = 0, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)
    return np.asarray(np.clip(cv2.GaussianBlur(noise, None, 1.2) * 3 - 250, 0, 255), np.uint8)


def flat(depth: float) -> NDArray[np.float32]:
    return np.full(SHAPE, depth, np.float32)


def observed(depth: NDArray[np.float32]) -> Observation:
    blank = np.zeros(SHAPE, np.uint8)
    return Observation("0", 0, np.zeros((*SHAPE, 3), np.uint8), CAMERA, depth, blank)


def placebo_at(shape: PlaceboShape, depth: float) -> Placebo:
    return Placebo(1, shape, (100.0, 60.0), half_size(shape, depth, CAMERA), depth, 0)


def drawn(seed: int, depth: NDArray[np.float32], background: NDArray[np.bool_]) -> Placebos:
    placebos = Placebos(seed)
    grey = texture()
    placebos.follow(0, grey)
    for _ in range(5):
        placebos.draw(grey, observed(depth), background)
    return placebos


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [8.0, 15.0, 30.0])
def test_size_in_pixels(shape: PlaceboShape, depth: float) -> None:
    mask = placebo_at(shape, depth).mask(SHAPE)
    metres = {"car": (1.8, 1.5), "person": (0.6, 1.7)}[shape.name]
    wide, high = mask.any(0).sum(), mask.any(1).sum()
    assert wide == pytest.approx(metres[0] * 121.0 / depth, abs=1.01)
    assert high == pytest.approx(metres[1] * 123.0 / depth, abs=1.01)
    # A car is nearly its bounding box, a person less so; both are more than an ellipse's quarter.
    assert 0.7 * wide * high <= mask.sum() <= wide * high


HOLES = st.tuples(st.integers(0, 207), st.integers(0, 127), st.integers(1, 40))


@given(st.integers(0, 2**31), st.lists(HOLES, min_size=1, max_size=6))
def test_placebos_keep_away_from_other_pixels(seed: int, holes: list[tuple[int, int, int]]) -> None:
    """Holes stand for dynamic classes or sky; the distance is computed pixel by pixel."""
    background = ALL.copy()
    for u, v, size in holes:
        background[v : v + size, u : u + size] = False
    depth = flat(12.0)
    depth[:, :40] = 60.0  # too far for a placebo
    placebos = drawn(seed, depth, background)
    taken = np.argwhere(~background)
    for placebo in placebos.alive:
        pixels = np.argwhere(placebo.mask(SHAPE))
        assert len(pixels) >= 40
        apart = np.abs(pixels[:, None] - taken[None]).max(2)
        assert apart.min() > MARGIN * CAMERA.width - 1
        assert pixels[:, 1].min() > 30
        assert placebo.depth == 12.0
    for one in placebos.alive:
        for two in placebos.alive:
            assert one is two or not (one.mask(SHAPE) & two.mask(SHAPE)).any()


def test_the_seed_decides() -> None:
    first, again, other = (drawn(seed, flat(12.0), ALL).alive for seed in (1, 1, 2))
    assert len(first) >= 3
    assert first == again
    assert first != other
    some = [placebo for seed in range(5) for placebo in drawn(seed, flat(12.0), ALL).alive]
    assert {placebo.shape.name for placebo in some} == {"car", "person"}


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (flat(2.0), "too near"),
        (flat(50.0), "too far"),
        (flat(np.nan), "unknown"),
        (np.tile(np.float32([6.0, 12.0]), (*SHAPE, 1))[:, :, 0] * np.tile([1, 2.0], 104), "uneven"),
    ],
)
def test_no_placebo(depth: NDArray[np.float32], why: str) -> None:
    assert not drawn(0, np.asarray(depth, np.float32), ALL).alive, why


def test_no_placebo_without_texture() -> None:
    placebos = Placebos(0)
    placebos.draw(np.full(SHAPE, 90, np.uint8), observed(flat(12.0)), ALL)
    assert not placebos.alive


@pytest.mark.parametrize(
    ("move", "growth"), [((3.4, -1.6), 1.0), ((0.0, 0.0), 1.06), ((-2.0, 1.0), 0.95)]
)
def test_a_placebo_follows_its_surface(move: tuple[float, float], growth: float) -> None:
    placebos = drawn(3, flat(14.0), ALL)
    before = placebos.alive
    centre = np.array((104.0, 64.0))
    # p' = growth (p - centre) + centre + move
    A = np.array([[growth, 0, 0], [0, growth, 0]])
    A[:, 2] = centre - growth * centre + move
    moved = cv2.warpAffine(
        texture(), A, SHAPE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    placebos.follow(SECOND // 10, np.asarray(moved, np.uint8))
    assert placebos.alive
    was = {placebo.number: placebo for placebo in before}
    for placebo in placebos.alive:
        old = was[placebo.number]
        wanted = growth * (np.array(old.centre) - centre) + centre + move
        np.testing.assert_allclose(placebo.centre, wanted, atol=0.4)
        np.testing.assert_allclose(placebo.half, np.array(old.half) * growth, rtol=0.03)
        assert (placebo.depth, placebo.born_ns) == (old.depth, old.born_ns)


def test_end_of_a_placebo() -> None:
    grey = texture()
    young = drawn(3, flat(14.0), ALL)
    count = len(young.alive)
    assert count
    young.follow(round(SECONDS * SECOND), grey)
    assert len(young.alive) == count
    young.follow(round(SECONDS * SECOND) + 1, grey)
    assert not young.alive  # its lifetime is over

    blind = drawn(3, flat(14.0), ALL)
    blind.follow(1, texture(7))
    assert not blind.alive  # no feature is found again

    other = drawn(3, flat(14.0), ALL)
    other.follow(1, texture(0, (64, 104)))
    assert not other.alive  # another camera

    near = drawn(3, flat(14.0), ALL)
    u, v = (round(x) for x in near.alive[0].centre)
    background = ALL.copy()
    background[v, u] = False
    near.keep_to(background)
    assert len(near.alive) == count - 1


def test_a_placebo_ends_at_the_border() -> None:
    placebos = drawn(3, flat(14.0), ALL)
    leftmost = min(placebos.alive, key=lambda placebo: placebo.centre[0] - placebo.half[0])
    for step in range(1, 200):
        if leftmost.number not in {placebo.number for placebo in placebos.alive}:
            break
        leftmost = next(p for p in placebos.alive if p.number == leftmost.number)
        assert leftmost.centre[0] - leftmost.half[0] >= -0.5
        placebos.follow(step, np.roll(texture(), -2 * step, axis=1))
    assert leftmost.centre[0] - leftmost.half[0] < 2.5


@given(st.floats(0.9, 1.1), st.floats(-20, 20), st.floats(-20, 20), st.integers(3, 30))
def test_an_exact_flow_is_followed_exactly(growth: float, du: float, dv: float, count: int) -> None:
    placebo = placebo_at(CAR, 10.0)
    points = np.random.default_rng(count).uniform(-9, 9, (count, 2)) + (100, 60)
    after = growth * (points - (100, 60)) + (100 + du, 60 + dv)
    moved = placebo.followed(Correspondences(np.float32(points), np.float32(after), count))
    np.testing.assert_allclose(moved.centre, (100 + du, 60 + dv), atol=1e-3)
    np.testing.assert_allclose(moved.half, np.array(placebo.half) * growth, rtol=1e-4)


def test_painted_labels() -> None:
    """Placebos are labelled as cars and people; the background is that of the real labels."""
    road, sky, truck = (CITYSCAPES.index(name) for name in ("road", "sky", "truck"))
    labels = np.full(SHAPE, road, np.uint8)
    labels[:20] = sky
    labels[100:, 150:] = truck
    placebos = drawn(3, flat(14.0), labels == road)
    assert placebos.alive
    before = labels.copy()
    painted = PlaceboLabels(lambda image: lambda: labels, placebos, PresetRules())
    seen = painted(np.zeros((*SHAPE, 3), np.uint8))()
    assert painted.shown == placebos.alive
    np.testing.assert_array_equal(painted.background, labels == road)
    expected = labels.copy()
    for placebo in painted.shown:
        expected[placebo.mask(SHAPE)] = CITYSCAPES.index(placebo.shape.name)
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(labels, before)  # not changed in place
