# SPDX-License-Identifier: Apache-2.0
"""Streams that break: another camera, cuts, pauses, repeated frames, images without texture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gate_clips import STEP, THRESHOLDS, Clip, check, grey_frame, play, recognizer

from depth_recog.datasets.sequence import Frame
from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules
from depth_recog.method.pair import Step
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings


def test_another_camera_starts_anew(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    subject = recognizer(clip)
    steps = play(subject, clip.frames[:3])
    other = Camera.from_matrix(clip.frames[3].camera.matrix * [[1.01], [1], [1]], 416, 128)
    frame = clip.frames[3]
    changed = recognizer_step(subject, frame, other)
    check(changed)
    assert changed.why_alone == "the camera's calibration changed"
    again = recognizer_step(subject, clip.frames[4], other)
    assert again.pair is not None
    assert again.pair.first.camera == again.pair.second.camera == other
    assert steps[2].pair is not None


def recognizer_step(subject: Recognizer, frame: Frame, camera: Camera) -> Step:
    """The networks do not know this camera: flat answers will do."""
    subject._depth = lambda image, focal: torch.full((1, 1, *image.shape[2:]), 10.0)
    return subject.step(frame.name, frame.stamp_ns, frame.image, camera)


def test_a_loop_starts_anew(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    steps = play(recognizer(clip), [*clip.frames[:4], *clip.frames[:3]])
    for step in steps:
        check(step)
    assert [s.why_alone for s in steps] == [
        "first frame",
        "",
        "",
        "",
        "time went back by 0.300 s",
        "",
        "",
    ]
    assert steps[5].pair is not None
    assert steps[5].pair.first.name == clip.frames[0].name


def test_a_long_pause_starts_anew_and_dropped_frames_do_not(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    subject = recognizer(clip)
    steps = play(subject, [clip.frames[0], clip.frames[1], clip.frames[3]])
    assert steps[2].pair is not None, "a gap of 0.2 s"
    late = clip.frames[4]
    step = subject.step("late", late.stamp_ns + 10**9, late.image, late.camera)
    check(step)
    assert step.why_alone == "1.100 s without a frame"


def test_a_cut_makes_no_pair(clips: dict[str, Clip]) -> None:
    """Two drives, spliced; the time runs on."""
    one, two = clips["empty"], Clip("parked", (20, 21), seed=2)
    subject = recognizer(one, two)
    spliced = [
        Frame(f.name + side, i * STEP, f.image, f.camera)
        for i, (side, f) in enumerate(
            [("a", f) for f in one.frames[:3]] + [("b", f) for f in two.frames]
        )
    ]
    steps = play(subject, spliced)
    for step in steps:
        check(step)
    assert steps[2].pair is not None
    assert steps[3].why_alone.startswith("cut: ")
    assert "features found again" in steps[3].why_alone
    assert steps[4].pair is not None
    assert steps[4].pair.first is steps[3].frame


@pytest.mark.parametrize("value", [0, 128, 255])
def test_pictures_without_texture_are_no_error(clips: dict[str, Clip], value: int) -> None:
    camera = clips["empty"].frames[0].camera
    steps = play(recognizer(), [grey_frame(value, i, camera) for i in range(4)])
    for step in steps[1:]:
        check(step)
        assert step.pair is not None
        assert not step.pair.static.ok
        assert step.pair.static.why == "0 correspondences with depth, 8 needed"
        assert step.pair.decision.motion is Motion.STILL
        assert step.pair.projection() is None


def test_black_frames_between_others_are_no_error(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    camera = clip.frames[0].camera
    stream = [
        clip.frames[0],
        clip.frames[1],
        Frame("black", clip.frames[2].stamp_ns, np.zeros((128, 416, 3), np.uint8), camera),
        *clip.frames[3:],
    ]
    steps = play(recognizer(clip), stream)
    for step in steps:
        check(step)
    assert steps[2].why_alone.startswith("cut: 0 of ")
    assert steps[3].pair is not None
    assert not steps[3].pair.target.ok, "nothing is known of a pair with a black picture"
    assert steps[-1].pair is not None


def test_pictures_without_texture_do_not_widen_the_gap(clips: dict[str, Clip]) -> None:
    """Four dark frames; the street after them is paired with its own frame before."""
    clip = clips["empty"]
    dark = [grey_frame(0, i, clip.frames[0].camera) for i in range(15, 20)]
    steps = play(recognizer(clip), [*dark, *clip.frames[:2]])
    assert steps[-1].pair is not None
    assert steps[-1].pair.first.name == clip.frames[0].name


def test_a_repeated_picture_has_not_moved(clips: dict[str, Clip]) -> None:
    """The same image with a later stamp: a camera at rest, parked cars and all."""
    clip = clips["parked"]
    frame = clip.frames[0]
    later = Frame("again", frame.stamp_ns + STEP, frame.image, frame.camera)
    step = play(recognizer(clip), [frame, later])[1]
    check(step)
    assert step.pair is not None
    np.testing.assert_allclose(step.pair.static.T_second_from_first, np.eye(4), atol=1e-3)
    assert step.pair.decision.motion is Motion.STILL
    assert step.pair.correspondences.median_motion < 1e-3


def test_a_repeated_frame_makes_no_pair(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    step = play(recognizer(clip), [clip.frames[0], clip.frames[0]])[1]
    check(step)
    assert step.why_alone == "time went back by 0.000 s"


def test_a_flat_ground_without_texture() -> None:
    """The scene whose road is one grey: cars, trees and houses are enough."""
    clip = Clip("textureless", range(20, 24))
    for step in play(recognizer(clip), clip.frames)[1:]:
        check(step)
        assert step.pair is not None
        assert step.pair.static.ok
        assert step.pair.decision.motion is Motion.STILL


def test_no_pair_when_none_is_wanted(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    subject = recognizer(clip)
    first, second = clip.frames[:2]
    subject.step(first.name, first.stamp_ns, first.image, first.camera)
    alone = subject.step(second.name, second.stamp_ns, second.image, second.camera, False)
    check(alone)
    assert alone.why_alone == "no pair was requested"
    third = clip.frames[2]
    step = subject.step(third.name, third.stamp_ns, third.image, third.camera)
    assert step.pair is not None
    assert step.pair.first.name == alone.frame.name


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"gate": "all"}, True),
        ({"mask_margin": 5}, True),
        ({"thresholds": Thresholds(1.0, 1.0)}, True),
        ({"rules": PresetRules(dynamic=("person",))}, False),
        ({"longest_gap_s": 2.0}, False),
    ],
)
def test_changed_settings_keep_the_frames_that_they_leave_valid(
    clips: dict[str, Clip], changes: dict[str, Any], kept: bool
) -> None:
    clip = clips["parked"]
    before = recognizer(clip)
    play(before, clip.frames[:3])
    settings = Settings(**{"gate": "image", "thresholds": THRESHOLDS, **changes})
    step = play(before.changed(settings), clip.frames[3:4])[0]
    assert (step.pair is not None) == kept
