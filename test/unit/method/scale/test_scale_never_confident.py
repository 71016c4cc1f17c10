# SPDX-License-Identifier: Apache-2.0
"""Where a frame shows no scale nothing is trusted, neither from the start on nor after a lock."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from ground_scenes import CAMERA, HEIGHT, hill, kerb, lorry, mirror, noise, road, room, wall

from depth_recog.method.scale.estimator import ScaleEstimator, ScaleSettings
from depth_recog.method.scale.filter import PATIENCE_S
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import Scale, ScaleState
from depth_recog.method.scale.motion import OdometryBuffer

STEP_NS = 10**8
UNIT = 0.8
BY_HEIGHT = ScaleSettings("camera_height", mount=CameraMount(HEIGHT))
FRAMES = 60


def hidden(depth: np.ndarray) -> np.ndarray:
    """No ground: vehicles in front, or a road that the masks do not find."""
    return np.zeros(depth.shape, np.bool_)


def jam(depth: np.ndarray) -> np.ndarray:
    """The two metres before the car ahead."""
    return np.isfinite(depth) & (depth < 4.0)


def everything(depth: np.ndarray) -> np.ndarray:
    return np.isfinite(depth) & (depth < 60)


SCENES: dict[str, tuple[Callable[[], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "hidden road": (road, hidden),
    "jam": (road, jam),
    "hill": (hill, everything),
    "kerb": (kerb, everything),
    "indoors": (room, everything),
    "lorry": (lorry, everything),
    "wet mirror": (mirror, everything),
    "wall": (wall, everything),
    "noise": (noise, everything),
}


def watched(
    estimator: ScaleEstimator, name: str, first: int, count: int, unit: float = UNIT
) -> list[Scale]:
    scene, ground = SCENES.get(name, (road, everything))
    depth = scene() / np.float32(unit)
    mask = ground(scene())
    return [estimator.observe((first + i) * STEP_NS, depth, mask, CAMERA) for i in range(count)]


@pytest.mark.parametrize("name", SCENES)
def test_from_the_start_on(name: str) -> None:
    scales = watched(ScaleEstimator(BY_HEIGHT), name, 0, FRAMES)
    assert {scale.state for scale in scales} == {ScaleState.ACQUIRING}, scales[-1]
    assert not any(scale.metric for scale in scales)
    assert scales[-1].why


@pytest.mark.parametrize("name", SCENES)
def test_after_a_lock_the_factor_is_kept_as_stale(name: str) -> None:
    estimator = ScaleEstimator(BY_HEIGHT)
    before = watched(estimator, "road", 0, 30)[-1]
    assert before.state is ScaleState.LOCKED
    scales = watched(estimator, name, 30, 2 * FRAMES)
    late = scales[round((PATIENCE_S + 0.3) * 10) :]
    assert {scale.state for scale in late} == {ScaleState.STALE}, late[-1]
    assert late[-1].factor == pytest.approx(before.factor, rel=1e-3)
    assert late[-1].std > before.std


def driven(
    ways: list[tuple[float, float]], mode: str = "odometry", seen: bool = True
) -> ScaleEstimator:
    """Drive: for each frame the true step, and what the wheels measure, metres."""
    odometry = OdometryBuffer()
    mount = CameraMount(HEIGHT) if mode == "auto" else None
    estimator = ScaleEstimator(ScaleSettings(mode, mount=mount), odometry)
    depth = road() / np.float32(UNIT)
    ground = everything(road()) & seen
    place = measured = 0.0
    for i, (true, wheels) in enumerate(ways):
        place, measured = place + true, measured + wheels
        odometry.add(i * STEP_NS, np.array((measured, 0.0, 0.0)))
        estimator.moved(i * STEP_NS, np.array((0.0, 0.0, place / UNIT)))
        estimator.observe(i * STEP_NS, depth, ground, CAMERA)
    return estimator


def test_wheels_with_noise_that_slip_every_ten_seconds() -> None:
    rng = np.random.default_rng(5)
    ways = [
        (0.8, 0.8 * (1 + rng.normal(0, 0.02)) * (1.5 if i % 100 < 10 else 1)) for i in range(400)
    ]
    alone, both = driven(ways), driven(ways, "auto")
    for estimator in (alone, both):
        scale = estimator.scale
        assert scale.state is ScaleState.LOCKED, scale.why
        assert abs(math.log(scale.factor / UNIT)) < 0.03
    assert "agree" in both.scale.why


def test_standing_in_moving_traffic_and_turning_on_the_spot_show_nothing() -> None:
    """The images move, the wheels do not: a jam, or a camera before the axis it turns about."""
    for true in (0.3, 0.05):
        scale = driven([(true, 0.0)] * FRAMES).scale
        assert scale.state is ScaleState.ACQUIRING
        assert "moves too little" in scale.why


def test_wheels_with_another_radius_are_reported_against_the_height() -> None:
    scale = driven([(0.8, 0.88)] * 200, "auto").scale
    assert scale.state is ScaleState.STALE or scale.state is ScaleState.ACQUIRING
    assert "disagree" in scale.why


def test_a_height_that_is_a_tenth_wrong_shows_as_a_tenth() -> None:
    estimator = ScaleEstimator(ScaleSettings("camera_height", mount=CameraMount(1.1 * HEIGHT)))
    scale = watched(estimator, "road", 0, 30)[-1]
    assert scale.state is ScaleState.LOCKED
    assert scale.factor == pytest.approx(1.1 * UNIT, rel=5e-3)


@pytest.mark.parametrize(("unit", "least"), [(1.0, 0.03), (0.8, 0.06), (0.35, 0.3)])
def test_a_unit_far_from_the_metre_is_less_certain(unit: float, least: float) -> None:
    """Cameras unlike those of the training have a road that is wrong too."""
    scale = watched(ScaleEstimator(BY_HEIGHT), "road", 0, 30, unit)[-1]
    assert scale.factor == pytest.approx(unit, rel=5e-3)
    assert least <= scale.std < 1.3 * least
