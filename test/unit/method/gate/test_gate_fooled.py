# SPDX-License-Identifier: Apache-2.0
"""Inputs that could fool the object gate: shadows, reflections, wrong masks and images.

Every stream goes through `Recognizer.step`; `gate_streams.check` checks each step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from gate_calls import Calls, calls_of, share_of
from gate_streams import BUILDING, CAR, ROAD, STEP, Shot, gain, play, retimed, shots, texture

from depth_recog.method.gate.by_image import Motion
from depth_recog.method.masking import dilated
from depth_recog.method.pair import Step
from depth_recog.method.scale.estimator import ScaleSettings


@pytest.fixture(scope="module")
def lead() -> tuple[Shot, ...]:
    return shots("lead_car", 20, 12)


@pytest.fixture(scope="module")
def parked() -> tuple[Shot, ...]:
    return shots("parked", 20, 12)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """NaN, infinity and empty arrays cause no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def longest_run(row: Sequence[Motion | None]) -> int:
    """Largest number of consecutive frames with the decision "moving"."""
    return max((len([*run]) for motion, run in groupby(row) if motion == Motion.MOVING), default=0)


def decisions(steps: Sequence[Step]) -> list[Motion]:
    return [step.pair.decision.motion for step in steps if step.pair is not None]


def moves_at_the_end(calls: Calls, frames: int = 3) -> bool:
    (row,) = calls.values()
    return all(motion == Motion.MOVING for motion in row[-frames:])


# --- light ----------------------------------------------------------------------------------------


def under_a_shadow(given: Sequence[Shot], start: float, speed: float) -> list[Shot]:
    """A band of half the light, 50 columns wide, that goes over everything."""
    answer = []
    for i, shot in enumerate(given):
        away = np.abs(np.arange(shot.image.shape[1]) - start - speed * i)
        light = 1 - 0.55 / (1 + np.exp(away - 25))
        image = np.clip(shot.image * light[None, :, None], 0, 255).astype(np.uint8)
        answer.append(replace(shot, image=image))
    return answer


@pytest.mark.parametrize(("start", "speed"), [(60, 6), (40, 10), (300, -8), (280, 3)])
def test_a_shadow_over_parked_cars_does_not_move_them_for_long(
    parked: tuple[Shot, ...], start: float, speed: float
) -> None:
    """Its edges do move. Measured: three frames on end at most, 4 % of all."""
    given = under_a_shadow(parked, start, speed)
    calls = calls_of(given, play(given))
    assert max(longest_run(row) for row in calls.values()) <= 4
    assert share_of(calls, Motion.MOVING) < 0.1
    assert share_of(calls, Motion.STILL) > 0.25


@pytest.mark.parametrize("speed", [4, -4])
def test_a_reflection_in_a_window_does_not_move_the_car(
    parked: tuple[Shot, ...], speed: int
) -> None:
    """A third of its width and height shows a texture that passes."""
    track = "parked-1-right-2"
    passing = texture((128, 416), 3)
    given = []
    for i, shot in enumerate(parked):
        (box,) = (b for b in shot.boxes if b.track == track)
        rows, columns = np.nonzero(shot.pixels_of(box))
        window = np.zeros(shot.labels.shape, bool)
        top, left = rows.min() + 1, round(columns.mean() - 0.15 * np.ptp(columns))
        height, width = round(0.3 * np.ptp(rows)), round(0.3 * np.ptp(columns))
        window[top : top + height, left : left + width] = True
        window &= shot.pixels_of(box)
        assert window.sum() > 8
        image = shot.image.copy()
        image[window] = np.roll(passing, left + speed * i, 1)[window]
        given.append(replace(shot, image=image))
    calls = calls_of(given, play(given))
    assert Motion.MOVING not in calls[track]
    assert calls[track][-1] == Motion.STILL


def test_an_exposure_that_changes_with_every_frame(
    lead: tuple[Shot, ...], parked: tuple[Shot, ...]
) -> None:
    given = [gain(shot, 1.2 if i % 2 else 1 / 1.2) for i, shot in enumerate(lead)]
    assert moves_at_the_end(calls_of(given, play(given)), 7)
    given = [gain(shot, 1.2 if i % 2 else 1 / 1.2) for i, shot in enumerate(parked)]
    calls = calls_of(given, play(given))
    assert share_of(calls, Motion.MOVING) == 0
    assert share_of(calls, Motion.STILL) > 0.5


@pytest.mark.parametrize("value", [0, 128, 255])
def test_no_texture(lead: tuple[Shot, ...], value: int) -> None:
    """Cars in the masks, nothing in the image: nothing is decided."""
    given = [replace(shot, image=np.full_like(shot.image, value)) for shot in lead[:4]]
    steps = play(given)
    assert decisions(steps) == [Motion.UNDECIDED] * 3
    assert steps[-1].pair.decision.why == "no features on dynamic categories"
    assert np.isnan(steps[-1].scores).all()
    assert not steps[-1].pair.dynamic.ok


def test_black_frames_between_others(lead: tuple[Shot, ...]) -> None:
    """A cut on either side; two frames later the decision is as before."""
    given = [replace(s, image=s.image * 0) if i == 6 else s for i, s in enumerate(lead)]
    steps = play(given)
    assert steps[6].why_alone.startswith("cut: 0 of ")
    assert moves_at_the_end(calls_of(lead, steps))


# --- masks ----------------------------------------------------------------------------------------


def test_a_region_of_thirty_pixels_is_undecided(parked: tuple[Shot, ...]) -> None:
    given = []
    for shot in parked[:6]:
        labels = np.where(shot.labels == CAR, np.uint8(BUILDING), shot.labels)
        labels[60:65, 200:206] = CAR
        given.append(replace(shot, labels=labels))
    for step in play(given)[1:]:
        assert step.frame.dynamic.sum() == 30
        assert (step.moving[step.frame.dynamic] != Motion.MOVING).all()


def test_a_pixel_here_and_there(parked: tuple[Shot, ...]) -> None:
    """Salt: too small for a feature, and without features nothing is decided."""
    given = []
    for i, shot in enumerate(parked[:5]):
        salt = np.random.default_rng(i).random(shot.labels.shape) < 0.02
        labels = np.where(shot.labels == CAR, np.uint8(BUILDING), shot.labels)
        given.append(replace(shot, labels=np.where(salt, np.uint8(CAR), labels)))
    for step in play(given)[1:]:
        assert (step.moving[step.frame.dynamic] == Motion.UNDECIDED).all()
        assert step.pair.static.ok


def test_where_everything_is_dynamic_nothing_is_decided(lead: tuple[Shot, ...]) -> None:
    """There is no static pose; the reason states it."""
    given = [replace(shot, labels=np.full_like(shot.labels, CAR)) for shot in lead[:5]]
    steps = play(given)
    for step in steps[1:]:
        assert (step.moving == Motion.UNDECIDED).all()
        assert not step.pair.static.ok
        assert not step.pair.dynamic.ok
        assert "no static pose: 0 correspondences with depth" in step.pair.decision.why


def test_where_nothing_is_dynamic_nothing_is_masked(parked: tuple[Shot, ...]) -> None:
    given = [replace(shot, labels=np.full_like(shot.labels, ROAD)) for shot in parked[:4]]
    for step in play(given)[1:]:
        assert step.pair.decision.motion is Motion.STILL
        assert step.pair.decision.why == "no pixel of a dynamic category"
        assert not step.moving.any()
        assert not step.pair.projection().masked.any()


def test_labels_that_flicker_never_make_movers_of_parked_cars(
    lead: tuple[Shot, ...], parked: tuple[Shot, ...]
) -> None:
    """Every fourth frame has no cars; after it they are undecided for two frames."""

    def flickering(given: Sequence[Shot]) -> list[Shot]:
        gone = np.uint8(BUILDING)
        return [
            replace(s, labels=np.where(s.labels == CAR, gone, s.labels)) if i % 4 == 3 else s
            for i, s in enumerate(given)
        ]

    steps = play(flickering(parked))
    assert share_of(calls_of(parked, steps), Motion.MOVING) == 0
    for step in steps[3::4]:
        assert not step.moving.any()
    steps = play(flickering(lead))
    (row,) = calls_of(lead, steps).values()
    assert Motion.STILL not in row
    assert row[6] == row[10] == Motion.MOVING


def test_masks_that_are_too_large(parked: tuple[Shot, ...]) -> None:
    """Five pixels of road and wall around every car."""
    given = [
        replace(s, labels=np.where(dilated(s.labels == CAR, 5), np.uint8(CAR), s.labels))
        for s in parked
    ]
    calls = calls_of(given, play(given))
    assert share_of(calls, Motion.MOVING) == 0


# --- depth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_depth_with_holes(lead: tuple[Shot, ...], value: float) -> None:
    """A third of the pixels have none."""
    given = []
    for i, shot in enumerate(lead):
        holes = np.random.default_rng(i).random(shot.depth.shape) < 0.3
        given.append(replace(shot, depth=np.where(holes, np.float32(value), shot.depth)))
    assert moves_at_the_end(calls_of(lead, play(given)), 6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_no_depth_at_all(lead: tuple[Shot, ...], value: float) -> None:
    given = [replace(shot, depth=np.full_like(shot.depth, value)) for shot in lead[:5]]
    steps = play(given)
    assert decisions(steps) == [Motion.UNDECIDED] * 4
    assert not any(step.pair.dynamic.ok for step in steps[1:])


@pytest.mark.parametrize("value", [1e-6, 1e30])
def test_depth_of_another_world(lead: tuple[Shot, ...], value: float) -> None:
    """Nothing overflows, nothing moves."""
    given = [replace(shot, depth=np.full_like(shot.depth, value)) for shot in lead[:6]]
    for step in play(given)[1:]:
        assert (step.moving != Motion.MOVING).all()


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_depth_scaled_as_a_whole(parked: tuple[Shot, ...], scale: float) -> None:
    """The pose is scaled with it: parked cars are still in any unit."""
    calls = calls_of(parked, play(parked, scale=ScaleSettings("constant", scale)))
    assert share_of(calls, Motion.MOVING) == 0


# --- time -----------------------------------------------------------------------------------------


def repeated(given: Sequence[Shot], twice: Sequence[int]) -> list[Shot]:
    """Some frames come twice; time goes on."""
    order = [shot for i, shot in enumerate(given) for _ in range(2 if i in twice else 1)]
    return retimed(order, [given[0].stamp_ns + i * STEP for i in range(len(order))])


def test_a_frame_that_comes_twice(lead: tuple[Shot, ...], parked: tuple[Shot, ...]) -> None:
    given = repeated(lead, (6, 7))
    assert moves_at_the_end(calls_of(given, play(given)), 7)
    given = repeated(parked, (5, 8))
    calls = calls_of(given, play(given))
    assert share_of(calls, Motion.MOVING) == 0


def test_an_image_that_repeats(lead: tuple[Shot, ...]) -> None:
    """A frozen camera: nothing moves."""
    given = retimed([lead[5]] * 8, [i * STEP for i in range(8)])
    (row,) = calls_of(given, play(given)).values()
    assert row[-1] == Motion.STILL
    assert Motion.MOVING not in row


def test_a_huge_step_in_time_starts_anew(lead: tuple[Shot, ...]) -> None:
    late = retimed(lead, [s.stamp_ns + (10**12 if i >= 6 else 0) for i, s in enumerate(lead)])
    steps = play(late)
    assert steps[6].why_alone == "1000.100 s without a frame"
    assert (steps[6].moving[steps[6].frame.dynamic] == Motion.UNDECIDED).all()
    assert moves_at_the_end(calls_of(late, steps))


def test_frames_a_nanosecond_apart(lead: tuple[Shot, ...]) -> None:
    """A wrong clock: no speed can be measured, nothing overflows."""
    given = retimed(lead, range(len(lead)))
    for step in play(given)[1:]:
        assert (step.moving != Motion.MOVING).all()
