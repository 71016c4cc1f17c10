# SPDX-License-Identifier: Apache-2.0
"""Flicker: zero for true depth, and the known value for constructed errors."""

import math
from typing import Any

import numpy as np
import pytest
from constructed import CAMERA, Given, Says, ahead, figures_of, says_depth, thing
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.evaluation.answer import Answer
from depth_recog.evaluation.flicker import warped_difference
from depth_recog.method.geometry.se3 import exp_twist, inverse_matrix

Depth = NDArray[np.float32]


def flicker(sequence: Given, answers: Says) -> dict[str, Any]:
    return figures_of(sequence, answers)["flicker"]


@pytest.fixture(scope="module")
def street() -> Given:
    made = SyntheticStreet("parked", frames=4, width=320, height=96)
    return Given([made.truth(i) for i in range(4)], made.camera)


def noisy(sequence: Given, sigma: float, common: float = 1.0) -> Says:
    """One random factor for each frame, and one for all."""
    factors = common * np.exp(np.random.default_rng(1).normal(0, sigma, len(sequence)))
    return says_depth(sequence, lambda i, d: d * np.float32(factors[i]))


def test_true_depth_does_not_flicker(street: Given) -> None:
    got = flicker(street, says_depth(street))
    assert got["pairs"] == 3
    assert got["median"] < 0.005
    assert got["mean"] < 0.03


def test_flicker_grows_with_noise(street: Given) -> None:
    got = [flicker(street, noisy(street, s))["median"] for s in (0.0, 0.05, 0.1, 0.2)]
    assert got == sorted(got)
    assert got[2] == pytest.approx(2 * got[1], rel=0.2)


def test_a_common_factor_is_no_flicker(street: Given) -> None:
    plain = flicker(street, noisy(street, 0.1))
    for factor in (0.3, 4.0):
        assert flicker(street, noisy(street, 0.1, factor)) == pytest.approx(plain, rel=1e-3)


def plane(T_camera_from_world: NDArray[np.float64]) -> Depth:
    """(H, W): z of a slightly tilted wall some 20 m ahead."""
    normal, distance = np.array((0.1, -0.05, 1.0)), 20.0
    turned = T_camera_from_world[:3, :3] @ normal
    distance = distance + turned @ T_camera_from_world[:3, 3]
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = np.stack(
        ((u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)), -1
    )
    return (distance / (rays @ turned)).astype(np.float32)


def test_the_true_motion_carries_a_plane_onto_itself() -> None:
    T = exp_twist(np.array((0.06, -0.1, 0.08, 0.6, -0.4, 1.5)))
    first, second = plane(np.eye(4)), plane(T)
    differences = warped_difference(first, second, T, CAMERA, 80.0)
    assert len(differences) > 1500
    # What is left is the rounding to whole pixels.
    assert np.abs(differences).max() < 0.004
    transposed = T.copy()
    transposed[:3, :3] = T[:3, :3].T
    for wrong in (inverse_matrix(T), transposed, np.eye(4)):
        assert np.median(np.abs(warped_difference(first, second, wrong, CAMERA, 80.0))) > 0.01


def wall(count: int, **known: Any) -> list[Truth]:
    """The camera drives 1 m a frame towards a wall at 20 m."""
    depths = [np.full((40, 64), 20.0 - i, np.float32) for i in range(count)]
    return [Truth(depth=d, world_from_camera=ahead(20.0 - d[0, 0]), **known) for d in depths]


def test_a_wall_that_comes_near_does_not_flicker() -> None:
    sequence = Given(wall(3))
    expected = pytest.approx({"pairs": 2, "median": 0, "mean": 0}, abs=1e-6)
    assert flicker(sequence, says_depth(sequence)) == expected
    single = Given(wall(1))
    assert flicker(single, says_depth(single)) == {"pairs": 0}


def test_a_jump_is_measured() -> None:
    sequence = Given(wall(2))
    got = flicker(sequence, says_depth(sequence, lambda i, d: d * np.float32(1 + i / 10)))
    # One factor makes both metric, so one is 5 % short and one 5 % long, and so is the step.
    scale = 1 / math.sqrt(1.1)
    assert got["median"] == pytest.approx(abs(math.log((20 * scale - 1) / (19 * 1.1 * scale))))


def test_median_and_mean() -> None:
    """A fifth of the wall is 1.5 times too far in the second frame."""
    sequence = Given(wall(2))

    def change(index: int, depth: Depth) -> Depth:
        wrong = depth.copy()
        wrong[:8] *= np.float32(1.5 if index else 1.0)
        return wrong

    got = flicker(sequence, says_depth(sequence, change))
    assert got["median"] == pytest.approx(0, abs=1e-6)
    assert 0.15 * math.log(1.5) < got["mean"] < 0.25 * math.log(1.5)


def test_differences_from_occlusion_are_clipped() -> None:
    sequence = Given(wall(2))
    got = flicker(sequence, says_depth(sequence, lambda i, d: np.where(d < 19.5, d * 3, d)))
    # Scaled by one over the root of three, clipped to a factor of two.
    assert got["mean"] == pytest.approx(math.log(2))


def test_moving_objects_are_left_out() -> None:
    """In both frames; by the mask of the truth, or else by its moving boxes."""
    places = [thing("m", 3.0, (x, 0.0, 15.0)) for x in (-4.0, 4.0)]
    regions = [np.zeros((40, 64), np.bool_) for _ in places]
    for box, region in zip(places, regions, strict=True):
        outline = box.outline(CAMERA)
        left, top, right, bottom = (round(v) for v in outline)
        region[top : bottom + 1, left : right + 1] = True

    def change(index: int, depth: Depth) -> Depth:
        return np.where(regions[index], np.float32(14.0), depth)

    def mean(known: list[dict[str, Any]]) -> float:
        truths = [wall(2, **k)[i] for i, k in enumerate(known)]
        return float(flicker(Given(truths), says_depth(Given(truths), change))["mean"])

    assert mean([{}, {}]) > 0.03
    assert mean([{"moving": r} for r in regions]) == pytest.approx(0, abs=1e-6)
    assert mean([{"boxes": (b,)} for b in places]) == pytest.approx(0, abs=1e-6)
    still = [thing("p", 0.0, (x, 0.0, 15.0)) for x in (-4.0, 4.0)]
    assert mean([{"boxes": (b,)} for b in still]) == mean([{}, {}])


def test_only_successive_frames_with_a_known_scale_are_compared() -> None:
    truths = wall(6)
    truths[3] = Truth(depth=np.full((40, 64), np.nan, np.float32), world_from_camera=ahead(3.0))
    sequence = Given(truths)
    depths = [np.full((40, 64), 7.0 * (20 - i), np.float32) for i in range(6)]
    says = Says(lambda i: None if i == 1 else Answer(depths[i]))
    # 0 1 2 3 4 5: frame 1 is not answered, frame 3 has no truth.
    expected = pytest.approx({"pairs": 1, "median": 0, "mean": 0}, abs=1e-6)
    assert flicker(sequence, says) == expected
