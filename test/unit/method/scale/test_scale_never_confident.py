# SPDX-License-Identifier: Apache-2.0
"""Where frames show no scale nothing is trusted, neither from the start on nor after a lock."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gate_streams import Shot, Stream
from ground_scenes import HEIGHT, SCENES, Move, ahead, shot, standing, turning

from depth_recog.method.scale.estimator import LARGEST_GAP, ScaleSettings
from depth_recog.method.scale.filter import PATIENCE_S
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import Scale, ScaleState

UNIT = 0.8
"""Metres per unit of the network in these tests."""
BY_HEIGHT = ScaleSettings("camera_height", mount=CameraMount(HEIGHT))
FRAMES = 22
LOCKED, STALE, ACQUIRING = ScaleState.LOCKED, ScaleState.STALE, ScaleState.ACQUIRING


def driven(stream: Stream, shots: list[Shot], unit: float = UNIT) -> list[Scale]:
    """Feed frames with the depth of a network of this unit."""
    scales = []
    for one in shots:
        stream.step(replace(one, depth=one.depth / np.float32(unit)))
        scales.append(stream.recognizer.scale.now)
    return scales


def drive(name: str, frames: int = FRAMES, move: Move = ahead, first: int = 0) -> list[Shot]:
    return [shot(name, i, move, first) for i in range(frames)]


def bent(one: Shot, factor: float) -> Shot:
    """The same with a network whose road is this much too far."""
    depth = np.where(one.labels == 0, one.depth * np.float32(factor), one.depth)
    return replace(one, depth=depth)


@pytest.fixture(scope="module")
def road() -> list[Shot]:
    return drive("road")


@pytest.mark.parametrize("height", [HEIGHT, 1.1 * HEIGHT])
def test_the_road_gives_the_factor_and_a_wrong_height_a_factor_that_is_as_wrong(
    road: list[Shot], height: float
) -> None:
    settings = ScaleSettings("camera_height", mount=CameraMount(height))
    stream = Stream(scale=settings)
    scale = driven(stream, road)[-1]
    assert scale.state is LOCKED, scale.why
    assert scale.factor == pytest.approx(UNIT * height / HEIGHT, rel=0.02)
    ground = stream.recognizer.scale.ground
    assert ground is not None
    assert ground.distance * UNIT == pytest.approx(HEIGHT, rel=0.03)
    assert abs(math.degrees(ground.pitch)) < 1
    assert abs(math.degrees(ground.roll)) < 1


@pytest.mark.parametrize(
    ("name", "move"),
    [
        *((name, ahead) for name in SCENES if name not in ("road", "hill", "kerb")),
        ("road", standing),
        ("road", turning),
    ],
)
def test_from_the_start_on(name: str, move: Move) -> None:
    scales = driven(Stream(scale=BY_HEIGHT), drive(name, move=move))
    assert {scale.state for scale in scales} == {ACQUIRING}, scales[-1]
    assert not any(scale.metric for scale in scales)
    assert scales[-1].why


@pytest.mark.parametrize("name", ["hill", "kerb"])
def test_an_uneven_road_is_refused_or_harmless(name: str) -> None:
    for scale in driven(Stream(scale=BY_HEIGHT), drive(name)):
        if scale.metric:
            assert scale.factor == pytest.approx(UNIT, rel=0.05)


@pytest.mark.parametrize("name", ["hidden road", "wet mirror", "rain", "standing"])
def test_after_a_lock_the_factor_is_kept_as_stale(name: str, road: list[Shot]) -> None:
    stream = Stream(scale=BY_HEIGHT)
    before = driven(stream, road)[-1]
    assert before.state is LOCKED, before.why
    patient = round((PATIENCE_S + 1) / 0.2) + 2
    if name == "standing":
        last = shot("road", FRAMES - 1)
        more = [
            replace(last, stamp_ns=last.stamp_ns + (i + 1) * 200_000_000) for i in range(patient)
        ]
    else:
        # A mirror looks right now and then: it takes longer until most frames refuse.
        more = drive(name, patient + 12 * (name == "wet mirror"), first=FRAMES)
    late = driven(stream, more)[-1]
    assert late.state is STALE, late
    assert late.factor == pytest.approx(before.factor, rel=0.03)
    assert late.std > before.std


@pytest.mark.parametrize("factor", [0.6, 1.1, 1.7])
def test_a_network_whose_road_is_bent_is_found_out(road: list[Shot], factor: float) -> None:
    stream = Stream(scale=BY_HEIGHT)
    scale = driven(stream, [bent(one, factor) for one in road])[-1]
    if abs(math.log(factor)) > LARGEST_GAP:
        assert scale.state is ACQUIRING
        assert "times as far" in scale.why
    else:
        assert scale.state is LOCKED, scale.why
        assert UNIT / factor * 0.98 < scale.factor < UNIT * 1.02
        assert scale.std > driven(Stream(scale=BY_HEIGHT), road)[-1].std
