# SPDX-License-Identifier: Apache-2.0
"""The scale over a stream of frames: everything in one frame has one unit."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from gate_streams import STEP, Shot, Stream, motion_of_pair, shots

from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.pair import Step
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.scale.estimator import ScaleSettings
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import ScaleState
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.settings import Wanted
from depth_recog.method.stream_scale import ground_below

UNIT = 0.7
"""Metres per unit of the network in these tests."""
HEIGHT = 1.65
FRAMES = 26
BY_HEIGHT = ScaleSettings("camera_height", mount=CameraMount(HEIGHT))


@cache
def clip() -> tuple[Shot, ...]:
    """A drive whose depth has another unit, at half the speed."""
    return tuple(
        replace(shot, stamp_ns=2 * shot.stamp_ns, depth=shot.depth / np.float32(UNIT))
        for shot in shots("parked", 20, FRAMES)
    )


def played(settings: ScaleSettings, wanted: Wanted = Wanted.PAIR) -> tuple[Stream, list[Step]]:
    stream = Stream(scale=settings)
    odometry = OdometryBuffer()
    old = stream.recognizer
    stream.recognizer = Recognizer(old.networks, old._estimator, old.settings, odometry)
    for shot in clip():
        odometry.add(shot.stamp_ns, shot.world_from_camera[:3, 3])
    return stream, [stream.step(shot, wanted) for shot in clip()]


@cache
def by_height() -> list[Step]:
    return played(BY_HEIGHT)[1]


def test_it_locks_and_then_depth_is_in_metres() -> None:
    steps = by_height()
    states = [step.frame.scale.state for step in steps]
    assert states[0] is ScaleState.ACQUIRING
    assert states[-1] is ScaleState.LOCKED, steps[-1].frame.scale.why
    for step, shot in zip(steps, clip(), strict=True):
        scale = step.frame.scale
        np.testing.assert_allclose(step.frame.depth, shot.depth * np.float32(scale.factor))
        if scale.metric:
            assert scale.factor == pytest.approx(UNIT, rel=0.02)


def test_no_pair_mixes_two_units() -> None:
    steps = by_height()
    whys = [step.why_alone for step in steps if step.pair is None]
    assert whys == ["first frame", "the scale was found"]
    for step in (s for s in steps if s.pair is not None):
        pair = step.pair
        unit = 1.0 if pair.first.scale.metric else 1 / UNIT
        assert pair.first.scale.metric == pair.second.scale.metric
        t = motion_of_pair(clip(), pair)[:3, 3] * unit
        assert np.linalg.norm(pair.static.T_second_from_first[:3, 3] - t) < 0.1 * unit


def test_by_odometry_every_frame_gets_masks_and_a_pair_whatever_is_wanted() -> None:
    stream, steps = played(ScaleSettings("odometry"), Wanted.DEPTH)
    assert steps[5].pair is not None
    assert steps[-1].frame.scale.state is ScaleState.LOCKED, steps[-1].frame.scale.why
    assert steps[-1].frame.scale.factor == pytest.approx(UNIT, rel=0.04)
    assert stream.recognizer.scale.settings.by_odometry


def test_both_agree() -> None:
    both, _ = played(ScaleSettings("auto", mount=CameraMount(HEIGHT)))
    assert both.recognizer.scale.now.state is ScaleState.LOCKED
    assert "agree" in both.recognizer.scale.now.why


def test_another_camera_or_network_is_measured_anew_and_the_same_network_is_not() -> None:
    stream, _ = played(BY_HEIGHT)
    recognizer = stream.recognizer
    kept = recognizer.changed(replace(recognizer.settings, gate="off"))
    assert kept.scale.now.state is ScaleState.LOCKED
    other = recognizer.changed(replace(recognizer.settings, scale=ScaleSettings("odometry")))
    assert other.scale.now.state is ScaleState.ACQUIRING
    recognizer.reset()
    assert recognizer.scale.now.state is ScaleState.ACQUIRING
    assert recognizer.scale.ground is None


def test_pitch_and_roll_are_those_of_the_street() -> None:
    stream, _ = played(BY_HEIGHT)
    ground = stream.recognizer.scale.ground
    assert ground is not None
    assert math.degrees(ground.pitch) == pytest.approx(0, abs=1.5)
    assert math.degrees(ground.roll) == pytest.approx(0, abs=1.5)


def test_the_ground_is_what_the_robot_stands_on_without_what_moves() -> None:
    step = by_height()[-1]
    frame = step.frame
    below = ground_below(frame)
    assert below.any()
    assert not (below & frame.near(4)).any()
    pavement = np.where(
        frame.labels == 0, np.uint8(1), np.where(frame.labels == 1, 0, frame.labels)
    )
    assert (ground_below(replace(frame, known_labels=pavement)) == below).all()
    nothing = np.full_like(frame.labels, CITYSCAPES.index("building"))
    assert not ground_below(replace(frame, known_labels=nothing)).any()


def test_no_source_of_metres_costs_nothing_and_changes_nothing() -> None:
    stream = Stream()
    steps = [stream.step(shot, Wanted.DEPTH) for shot in clip()[:3]]
    for step, shot in zip(steps, clip(), strict=False):
        assert step.frame.depth is shot.depth
        assert step.frame.scale.state is ScaleState.NONE
        assert "scale" not in step.seconds
    assert stream.networks.scored == 0
    assert clip()[1].stamp_ns - clip()[0].stamp_ns == 2 * STEP
