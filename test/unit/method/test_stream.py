# SPDX-License-Identifier: Apache-2.0
"""Streams that break: another camera, cuts, pauses, repeated frames, images without texture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_streams import IMAGE_GATE, STEP, Shot, Stream, play, retimed, shots

from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.masking import PresetRules
from depth_recog.method.pair import Step
from depth_recog.method.settings import Settings, Wanted

Shots = tuple[Shot, ...]


@pytest.fixture
def empty() -> Shots:
    return shots("empty", 20, 8)


@pytest.fixture
def parked() -> Shots:
    return shots("parked", 20, 8)


def steps_of(given: list[Shot]) -> list[Step]:
    return play(given, **IMAGE_GATE)


def later(shot: Shot, ns: int) -> Shot:
    return replace(shot, stamp_ns=shot.stamp_ns + ns)


def grey(value: int, shot: Shot) -> Shot:
    return replace(shot, image=np.full_like(shot.image, value))


def test_another_camera_starts_anew(empty: Shots) -> None:
    other = replace(empty[0].camera, fx=1.01 * empty[0].camera.fx)
    changed = [replace(shot, camera=other) for shot in empty[3:5]]
    steps = steps_of([*empty[:3], *changed])
    assert steps[2].pair is not None
    assert steps[3].why_alone == "the camera's calibration changed"
    assert steps[4].pair.first.camera == steps[4].pair.second.camera == other


def test_a_loop_starts_anew(empty: Shots) -> None:
    steps = steps_of([*empty[:4], *empty[:3]])
    alone = {0: "first frame", 4: "time went back by 0.300 s"}
    assert [step.why_alone for step in steps] == [alone.get(i, "") for i in range(7)]
    assert steps[5].pair.first.name == empty[0].name


@pytest.mark.parametrize("off", [3600 * 10**9, -3600 * 10**9, -2 * STEP, STEP * 7])
def test_one_wrong_stamp_costs_one_frame(empty: Shots, off: int) -> None:
    """The frames after it continue with those before it, whatever the gate has learnt."""
    for gate in (IMAGE_GATE, {}):
        steps = play([*empty[:4], later(empty[4], off), *empty[5:]], **gate)
        assert [step.pair is None for step in steps] == [i in (0, 4) for i in range(8)]
        assert steps[5].pair.first.name in [shot.name for shot in empty[:4]]
        assert all(step.pair.static.ok for step in steps[5:])


def test_an_image_that_comes_late_costs_itself(empty: Shots) -> None:
    steps = steps_of([empty[i] for i in (0, 1, 3, 2, 4, 5)])
    assert [step.pair is None for step in steps] == [i in (0, 3) for i in range(6)]
    assert steps[3].why_alone == "time went back by 0.100 s"


def test_a_clock_that_was_set_costs_one_pair(empty: Shots) -> None:
    """In both directions; the stream goes on with the new time."""
    for off in (-(10**9), 3600 * 10**9):
        steps = steps_of([*empty[:4], *(later(shot, off) for shot in empty[4:])])
        assert [step.pair is None for step in steps] == [i in (0, 4) for i in range(8)]


def test_the_gate_remembers_over_one_wrong_stamp() -> None:
    """A car that is known to move stays so, with its number."""
    drive = shots("lead_car", 20, 12)
    steps = play([*drive[:9], later(drive[9], 3600 * 10**9), *drive[10:]])
    moving = [
        {r.region_id for r in step.pair.gate_result.regions if r.motion is Motion.MOVING}
        for step in (steps[8], steps[10])
    ]
    assert moving[0]
    assert moving[0] & moving[1]


def test_a_long_pause_starts_anew_and_dropped_frames_do_not(empty: Shots) -> None:
    steps = steps_of([empty[0], empty[1], empty[3], later(empty[4], 10**9)])
    assert steps[2].pair is not None, "a gap of 0.2 s"
    assert steps[3].why_alone == "1.100 s without a frame"


def test_a_cut_makes_no_pair(empty: Shots) -> None:
    """Two drives, spliced; the time runs on."""
    spliced = [*empty[:3], *shots("parked", 20, 2, seed=2)]
    steps = steps_of(retimed(spliced, (i * STEP for i in range(5))))
    assert steps[2].pair is not None
    assert steps[3].why_alone.startswith("cut: ")
    assert "features found again" in steps[3].why_alone
    assert steps[4].pair.first is steps[3].frame


@pytest.mark.parametrize("value", [0, 128, 255])
def test_images_without_texture_are_no_error(empty: Shots, value: int) -> None:
    for step in steps_of([grey(value, shot) for shot in empty[:4]])[1:]:
        assert not step.pair.static.ok
        assert step.pair.static.why == "0 correspondences with depth, 8 needed"
        assert step.pair.decision.motion is Motion.STILL
        assert step.pair.projection() is None


def test_black_frames_between_others_are_no_error(empty: Shots) -> None:
    steps = steps_of([*empty[:2], grey(0, empty[2]), *empty[3:]])
    assert steps[2].why_alone.startswith("cut: 0 of ")
    assert not steps[3].pair.target.ok, "nothing is known of a pair with a black image"
    assert steps[-1].pair is not None


def test_images_without_texture_do_not_widen_the_gap(empty: Shots) -> None:
    """Five dark frames; the first street frame after them is the partner of the second."""
    dark = [later(grey(0, empty[0]), -i * STEP) for i in range(5, 0, -1)]
    steps = steps_of([*dark, *empty[:2]])
    assert steps[-1].pair.first.name == empty[0].name


def test_a_repeated_image_has_not_moved(parked: Shots) -> None:
    """The same image with a later stamp: a camera at rest among parked cars."""
    step = steps_of([parked[0], later(parked[0], STEP)])[1]
    np.testing.assert_allclose(step.pair.static.T_second_from_first, np.eye(4), atol=1e-3)
    assert step.pair.decision.motion is Motion.STILL
    assert step.pair.correspondences.median_motion < 1e-3


def test_a_repeated_frame_makes_no_pair(empty: Shots) -> None:
    assert steps_of([empty[0], empty[0]])[1].why_alone == "time went back by 0.000 s"


def test_a_flat_ground_without_texture() -> None:
    """The scene whose road is one grey: cars, trees and houses are enough."""
    for step in steps_of(shots("textureless", 20, 4))[1:]:
        assert step.pair.static.ok
        assert step.pair.decision.motion is Motion.STILL


def test_no_pair_when_none_is_wanted(empty: Shots) -> None:
    stream = Stream(**IMAGE_GATE)
    stream.step(empty[0])
    alone = stream.step(empty[1], Wanted.MASKS)
    assert alone.why_alone == "no pair was requested"
    assert stream.step(empty[2]).pair.first.name == alone.frame.name


def test_depth_alone_needs_no_segmentation_and_is_nobodys_partner(empty: Shots) -> None:
    """Without labels there are features on movers: no later frame is compared with such a frame."""
    stream = Stream(**IMAGE_GATE)
    stream.step(empty[0])
    scored = stream.networks.scored
    alone = stream.step(empty[1], Wanted.DEPTH)
    assert stream.networks.scored == scored
    assert alone.pair is None
    assert alone.seconds.keys() == {"depth network"}
    np.testing.assert_array_equal(alone.frame.depth, empty[1].depth)
    assert (alone.frame.labels == 255).all()
    assert stream.step(empty[2]).pair.first.name == empty[0].name


def test_nothing_is_tracked_where_the_camera_has_seen_nothing(parked: Shots) -> None:
    """Mirrored or black borders have strong corners, which would count as a camera at rest."""
    seen = np.ones(parked[0].image.shape[:2], np.bool_)
    seen[:, :100], seen[:30] = False, False
    stream = Stream(**IMAGE_GATE)
    for shot in parked[:3]:
        stream.networks.show(shot)
        picture = shot.name, shot.stamp_ns, shot.image, shot.camera
        step = stream.recognizer.step(*picture, seen=seen)
        assert (step.frame.labels[~seen] == 255).all()
        assert not step.frame.dynamic[~seen].any()
        assert not step.moving[~seen].any()
        columns, rows = np.rint(step.frame.tracks.pixels).astype(int).T
        assert seen[rows, columns].all()
        assert len(rows) > 100
    assert step.pair.static.ok


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
    parked: Shots, changes: dict[str, Any], kept: bool
) -> None:
    stream = Stream(**IMAGE_GATE)
    for shot in parked[:3]:
        stream.step(shot)
    stream.recognizer = stream.recognizer.changed(Settings(**{**IMAGE_GATE, **changes}))
    assert (stream.step(parked[3]).pair is not None) == kept
