# SPDX-License-Identifier: Apache-2.0
"""The object gate on the synthetic street, through `Recognizer.step`, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from gate_calls import calls_of, changes, region_ids_of, share_of
from gate_streams import CAR, ROAD, Shot, Stream, check, play, retimed, shots

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.by_object import ObjectGate, Past
from depth_recog.method.gate.evidence import SPEED_STD
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.settings import Settings
from depth_recog.method.tracking.tracks import Tracks

# --- decisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_car_ahead_moves_within_half_a_second(seed: int) -> None:
    """Measured: in the third or fourth frame, and from then on."""
    given = shots("lead_car", 20, 12, seed)
    (calls,) = calls_of(given, play(given)).values()
    assert calls[0] == Motion.UNDECIDED, "one frame cannot show motion"
    assert Motion.STILL not in calls
    assert all(c == Motion.MOVING for c in calls[5:])
    assert changes(calls) == 0


@pytest.mark.parametrize(("scene", "seed"), [("parked", 1), ("parked", 2), ("textureless", 1)])
def test_parked_rows_never_move(scene: str, seed: int) -> None:
    given = shots(scene, 20, 12, seed)
    calls = calls_of(given, play(given))
    assert len(calls) >= 6
    assert share_of(calls, Motion.MOVING) == 0
    # Measured: 63 to 72 % of all frames, the first three of each car among them.
    assert share_of(calls, Motion.STILL) > 0.5
    assert max(changes(row) for row in calls.values()) <= 2


def test_an_oncoming_car_beside_parked_ones_is_a_region_of_its_own() -> None:
    """In some frames all form one component: it is split by depth and by motion."""
    given = shots("oncoming", 20, 12)
    steps = play(given)
    calls = calls_of(given, steps)
    mover = calls.pop("oncoming-2")
    assert all(c == Motion.MOVING for c in mover[6:])
    assert share_of(calls, Motion.MOVING) == 0
    assert changes(mover) <= 2
    result = steps[-1].pair.gate_result
    motions = {region.motion for region in result.regions}
    assert {Motion.MOVING, Motion.STILL} <= motions
    likeliest = result.likeliest_mover
    (box,) = (b for b in given[-1].boxes if b.track == "oncoming-2")
    own = given[-1].pixels_of(box)
    assert own[result.region_ids == likeliest.region_id].mean() > 0.9, "the mover itself"
    assert likeliest.name == "car"
    assert likeliest.velocity[2] < -4, "it comes towards the camera"
    assert steps[-1].pair.decision.motion is Motion.MOVING
    assert f"car {likeliest.region_id}" in steps[-1].pair.decision.why


def test_movers_without_a_mask_do_not_move_the_parked_cars() -> None:
    """Their pixels are labelled road: the static pose must not follow them."""
    given = [
        replace(shot, labels=np.where(shot.moving, np.uint8(ROAD), shot.labels))
        for shot in shots("oncoming", 20, 12)
    ]
    calls = calls_of(given, play(given))
    calls.pop("oncoming-2", None)
    assert len(calls) >= 4
    assert share_of(calls, Motion.MOVING) == 0
    assert share_of(calls, Motion.STILL) > 0.3


def test_a_car_that_starts_is_still_and_then_moves() -> None:
    """It drives along the camera's path: measured still up to 2.8 m/s, moving from 3.0 m/s."""
    given = shots("start_stop", 0, 30)
    steps = play(given)
    row = calls_of(given, steps)["departure-0"]
    speeds = [next((b.speed for b in s.boxes if b.track == "departure-0"), 0.0) for s in given]
    slow = [c for c, v in zip(row, speeds, strict=True) if v < 1.0 and c is not None]
    fast = [c for c, v in zip(row, speeds, strict=True) if v > 3.5 and c is not None]
    assert len(fast) > 8
    assert Motion.MOVING not in slow
    assert all(c == Motion.MOVING for c in fast)
    assert Motion.STILL in row, "it was still before"
    assert changes(row) <= 2


def test_a_camera_at_rest_finds_passing_objects() -> None:
    given = shots("still", 30, 25)
    steps = play(given)
    (row,) = calls_of(given, steps).values()
    seen = [c for c in row if c is not None]
    assert len(seen) > 10
    assert all(c == Motion.MOVING for c in seen[4:])
    assert np.linalg.norm(steps[-1].pair.static.T_second_from_first[:3, 3]) < 0.05


def test_objects_keep_their_region_ids() -> None:
    """Measured: parked cars 86 % of their frames on average, the car ahead all of them."""
    ahead = shots("lead_car", 20, 12)
    assert len(set(region_ids_of(ahead, play(ahead), "lead-0"))) == 1
    given = shots("parked", 20, 12)
    steps = play(given)
    ids_of_track = [region_ids_of(given, steps, track) for track in calls_of(given, steps)]
    shares = [np.bincount(ids).max() / len(ids) for ids in ids_of_track if len(ids) >= 4]
    assert len(shares) >= 5
    assert np.mean(shares) > 0.7


def test_the_published_matrices_are_those_of_the_likeliest_mover() -> None:
    """[R | t + tau] and the thresholds: the decision in the patent's form."""
    given = shots("lead_car", 20, 8)
    pair = play(given)[-1].pair
    likeliest = pair.gate_result.likeliest_mover
    difference = pair.absolute_difference
    np.testing.assert_allclose(difference[:3, 3], np.abs(likeliest.velocity) * pair.seconds)
    assert not difference[:3, :3].any()
    assert (difference > pair.thresholds).any(), "some element is above its threshold"
    limits = (3 * likeliest.velocity_std + 0.3) * pair.seconds
    np.testing.assert_allclose(pair.thresholds[:3, 3], limits)


def test_region_of_the_car_ahead_is_where_and_as_large_as_it_is() -> None:
    given = shots("lead_car", 20, 8)
    step = play(given)[-1]
    (region,) = (r for r in step.pair.gate_result.regions if r.pixels > 500)
    (box,) = given[-1].boxes
    assert region.pixels == pytest.approx(given[-1].pixels_of(box).sum(), rel=0.05)
    # The visible surface is the back: half a length before the middle.
    back = box.T_camera_from_box[2, 3] - box.size[0] / 2
    assert region.centre[2] == pytest.approx(back, abs=0.8)
    assert region.centre[0] == pytest.approx(box.T_camera_from_box[0, 3], abs=0.3)
    assert region.size[0] == pytest.approx(box.size[1], abs=0.4)
    assert region.size[1] == pytest.approx(box.size[2], abs=0.4)


# --- depth that is wrong --------------------------------------------------------------------------


def wrong_by_object(given: Sequence[Shot], deviation: float, seed: int) -> list[Shot]:
    """The depth of each object is wrong by a factor of its own, the same in every frame."""
    rng, factors = np.random.default_rng(seed), dict[str, float]()
    answer = []
    for shot in given:
        depth = shot.depth.copy()
        for box in shot.boxes:
            factor = factors.setdefault(box.track, float(np.exp(rng.normal(0, deviation))))
            depth[shot.pixels_of(box)] *= np.float32(factor)
        answer.append(replace(shot, depth=depth))
    return answer


@pytest.mark.parametrize("seed", [1, 2])
def test_parked_cars_at_wrong_depths_do_not_move(seed: int) -> None:
    """By 15 %, per car; the ground contact corrects it."""
    truth = shots("parked", 20, 12, seed)
    given = wrong_by_object(truth, 0.15, seed)
    calls = calls_of(given, play(given), truth)
    assert share_of(calls, Motion.MOVING) == 0
    assert share_of(calls, Motion.STILL) > 0.5


def fooled(given: Sequence[Shot]) -> list[Shot]:
    """A network that has learnt to explain the motion of the car ahead by a wrong depth.

    A static object at Z = travelled distance * Z_car / (decrease of Z_car) has the displacements of
    the car, so the residual vanishes.
    """
    backs = [float(s.boxes[0].T_camera_from_box[2, 3] - s.boxes[0].size[0] / 2) for s in given]
    places = [shot.world_from_camera[:3, 3] for shot in given]
    answer = []
    for i, shot in enumerate(given):
        j = min(i, len(given) - 2)
        assert backs[j] > backs[j + 1]
        travelled = np.linalg.norm(places[j + 1] - places[j])
        depth = np.float32(travelled * backs[j] / (backs[j] - backs[j + 1]))
        answer.append(replace(shot, depth=np.where(shot.labels == CAR, depth, shot.depth)))
    return answer


def without_ground(given: Sequence[Shot]) -> list[Shot]:
    """No road, no pavement: no depth from ground contact."""
    return [replace(s, labels=np.where(s.labels < 2, np.uint8(2), s.labels)) for s in given]


@pytest.fixture(scope="module")
def closing_in() -> tuple[Shot, ...]:
    return shots("lead_car", 46, 12)


def test_a_network_that_is_fooled_is_contradicted_by_the_ground(
    closing_in: tuple[Shot, ...],
) -> None:
    given = fooled(closing_in)
    assert min(shot.depth[shot.labels == CAR].min() for shot in given) > 60
    (calls,) = calls_of(given, play(given), closing_in).values()
    assert all(c == Motion.MOVING for c in calls[6:])


def test_a_frozen_network_is_not_fooled_where_no_ground_is_seen(
    closing_in: tuple[Shot, ...],
) -> None:
    """The published depth is that of the trained network; the gate uses the frozen one's."""
    right = {shot.stamp_ns: shot.depth for shot in closing_in}
    given = without_ground(fooled(closing_in))
    (alone,) = calls_of(given, play(given), closing_in).values()
    assert Motion.MOVING not in alone, "without ground contact it is fooled"
    steps = play(given, frozen=lambda shot: right[shot.stamp_ns])
    (calls,) = calls_of(given, steps, closing_in).values()
    assert all(c == Motion.MOVING for c in calls[6:])
    np.testing.assert_array_equal(steps[-1].frame.depth, given[-1].depth)


def test_velocities_are_in_the_frozen_networks_unit() -> None:
    """Poses as well as depths: here the trained network predicts twice the depth."""
    given = shots("lead_car", 46, 8)
    right = {shot.stamp_ns: shot.depth for shot in given}
    far = [replace(shot, depth=2 * shot.depth) for shot in given]
    plain, learning = (
        play(stream, frozen=lambda shot: right[shot.stamp_ns])[-1].pair.gate_result.regions
        for stream in (given, far)
    )
    for one, other in zip(plain, learning, strict=True):
        np.testing.assert_allclose(other.velocity, one.velocity, rtol=0.05, atol=0.1)
        assert other.score == pytest.approx(one.score, rel=0.05)


@pytest.mark.parametrize(("way", "beyond"), [((0.8, 0, 0), False), ((0, 0, 0.8), True)])
def test_objects_are_expected_to_move_along_the_cameras_way(
    way: tuple[float, ...], beyond: bool
) -> None:
    """The direction of travel counts, not the optical axis: a camera may point sideways.

    One displacement of a small object hardly measures its speed in depth, so the standard deviation
    of that is the prior's.
    """
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    motion = np.eye(4)
    motion[:3, 3] = np.negative(way)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.5, 0.5, 5), [-0.3, 0.0, 0.3]))
    points = np.stack((x, y, np.full_like(x, 10.0)), 1)
    labels = np.full((48, 64), CAR, np.uint8)
    frames = []
    for stamp_ns, seen in ((0, points), (100_000_000, points + motion[:3, 3])):
        pixels = (seen @ camera.matrix.T / seen[:, 2:])[:, :2].astype(np.float32)
        ids = np.arange(len(x))
        tracks = Tracks(ids, pixels, np.ones(len(x), np.uint8), len(x))
        depth = np.full(labels.shape, seen[0, 2], np.float32)
        image = np.zeros((48, 64, 3), np.uint8)
        frames.append(Observation("", stamp_ns, image, camera, depth, labels, tracks=tracks))
    gate = ObjectGate(PresetRules())
    gate.update(frames[0], ())
    pose = PoseEstimate(motion, True, covariance=1e-8 * np.eye(6))
    (region,) = gate.update(frames[1], [Past(frames[0], pose)]).regions
    assert (region.velocity_std[2] > SPEED_STD) == beyond


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", ["lead_car", "parked"])
def test_a_stream_in_reverse(scene: str) -> None:
    """The camera drives backwards; the decisions stay the same."""
    given = shots(scene, 20, 12)
    backward = retimed(given[::-1], [shot.stamp_ns for shot in given])
    calls = calls_of(backward, play(backward))
    if scene == "lead_car":
        assert all(c == Motion.MOVING for c in calls["lead-0"][5:])
    else:
        assert share_of(calls, Motion.MOVING) == 0


def test_two_frames_by_themselves() -> None:
    """`compare` gives the same result every time, and does not change the stream."""
    given = shots("lead_car", 20, 12)
    stream = Stream()
    frames = [stream.observe(shot) for shot in (given[2], given[6])]
    pairs = [stream.recognizer.compare(*frames) for _ in range(2)]
    np.testing.assert_array_equal(pairs[0].moving, pairs[1].moving)
    np.testing.assert_array_equal(pairs[0].scores, pairs[1].scores)
    own = given[6].pixels_of(given[6].boxes[0])
    assert not (pairs[0].moving[own] == Motion.STILL).any()
    assert np.isfinite(pairs[0].scores[own]).mean() > 0.9, "measured, with one displacement"
    assert pairs[0].seconds == pytest.approx(0.4)
    for i, shot in enumerate(given[:4]):
        step = stream.step(shot)
        assert (step.pair is None) == (i == 0), "compare's frames are not in the stream"


def test_a_reset_forgets() -> None:
    given = shots("lead_car", 20, 12)
    stream = Stream()
    before = [stream.step(shot) for shot in given[:8]][-1]
    assert before.pair.decision.motion is Motion.MOVING
    stream.recognizer.reset()
    step = stream.step(given[8])
    assert step.why_alone == "first frame"
    step = stream.step(given[9])
    assert step.pair.decision.motion is Motion.UNDECIDED


def test_changed_settings_keep_the_evidence() -> None:
    given = shots("lead_car", 20, 12)
    stream = Stream()
    for shot in given[:8]:
        stream.step(shot)
    stream.recognizer = stream.recognizer.changed(Settings(mask_margin=3))
    step = stream.step(given[8])
    assert step.pair.decision.motion is Motion.MOVING
    stream.recognizer = stream.recognizer.changed(Settings(score_threshold=1e6))
    step = stream.step(given[9])
    assert step.pair.decision.motion is Motion.MOVING, "between the thresholds it stays"
    assert "stays moving" in step.pair.decision.why


def test_the_threshold_is_between_still_and_moving() -> None:
    given = shots("parked", 20, 8)
    eager, shy = (
        play(given, score_threshold=threshold)[-1].pair.gate_result.regions
        for threshold in (0.01, 1e6)
    )
    for region in eager:
        assert region.motion is not Motion.UNDECIDED or np.isnan(region.score)
    for region in shy:
        assert region.motion is Motion.UNDECIDED
        assert "between -1e+06 and 1e+06" in region.why or np.isnan(region.score)


def test_a_decision_stays_until_there_is_evidence_against_it() -> None:
    """Without new displacements the evidence fades, and the score with it."""
    stream = Stream()
    step = [stream.step(shot) for shot in shots("lead_car", 20, 8)][-1]
    moved = {r.region_id for r in step.pair.gate_result.regions if r.motion is Motion.MOVING}
    later = replace(step.frame, stamp_ns=step.frame.stamp_ns + 4 * 10**9)
    regions = [r for r in stream.recognizer._gate.update(later, ()).regions if r.region_id in moved]
    assert regions
    for region in regions:
        assert region.motion is Motion.MOVING
        assert abs(region.score) < 3
        assert region.why.endswith(": stays moving")


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_that_is_not_positive_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigurationError, match=r"gate threshold .* must be positive"):
        ObjectGate(PresetRules(), threshold)


def test_the_check_of_a_step_can_fail() -> None:
    """`check` runs in every step of every stream here."""
    step = play(shots("lead_car", 20, 6))[-1]
    result = step.pair.gate_result
    spoilt = result.moving.copy()
    spoilt[0, 0] = Motion.MOVING
    with pytest.raises(AssertionError, match="what cannot move does not"):
        check(replace(step, pair=replace(step.pair, gate_result=replace(result, moving=spoilt))))
