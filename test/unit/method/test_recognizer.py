# SPDX-License-Identifier: Apache-2.0
"""Blocks 101 to 107 in their order, with networks that know the street's truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gate_clips import CAR, STEP, Clip, check, play, recognizer

from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.geometry import se3
from depth_recog.method.loss import photometric
from depth_recog.method.pair import moving_map
from depth_recog.method.pose.epipolar import EpipolarEstimator
from depth_recog.method.pose.estimator import PoseEstimate, PosePair
from depth_recog.method.pose.pnp import PnpEstimator

# --- what it sees ---------------------------------------------------------------------------------


def test_one_frame_alone(clips: dict[str, Clip]) -> None:
    """Without a partner what could move is undecided; depth and labels are there."""
    clip = clips["parked"]
    (step,) = play(recognizer(clip), clip.frames[:1])
    check(step)
    assert step.why_alone == "first frame"
    truth = clip.truths[0]
    np.testing.assert_array_equal(step.frame.depth, truth.depth)
    np.testing.assert_array_equal(step.frame.labels, truth.labels)
    np.testing.assert_array_equal(step.frame.dynamic, truth.labels == CAR)
    np.testing.assert_array_equal(step.moving, truth.labels == CAR)
    assert step.frame.depth.dtype == np.float32
    assert step.frame.labels.dtype == np.uint8
    assert {"depth network", "segmentation network", "masks"} <= step.seconds.keys()


@pytest.mark.parametrize("scene", ["parked", "empty", "lead_car", "crossing", "oncoming"])
def test_static_pose_is_the_cameras_motion_from_first_to_second(
    clips: dict[str, Clip], scene: str
) -> None:
    """inverse(world_from_second) @ world_from_first, and not its inverse."""
    clip = clips[scene]
    for step in play(recognizer(clip), clip.frames)[1:]:
        check(step)
        assert step.pair is not None
        pair = step.pair
        first, second = clip.index(pair.first.name), clip.index(pair.second.name)
        assert first < second
        T = clip.relative(first, second)
        got = pair.static.T_second_from_first
        assert pair.static.ok
        # Measured over 100 pairs: 0.09 degrees, 6 cm of 1.5 m.
        assert np.degrees(se3.rotation_angle(got @ np.linalg.inv(T))) < 0.2
        assert np.linalg.norm(got[:3, 3] - T[:3, 3]) < 0.1
        backward = np.linalg.inv(T)
        assert np.linalg.norm(got[:3, 3] - backward[:3, 3]) > 1.2
        assert got[2, 3] < -0.6, "the camera drives forward: points come nearer"


def test_a_scale_is_one_for_depth_poses_and_gate(clips: dict[str, Clip]) -> None:
    """Half the scale halves depth and translations, which meet the same thresholds."""
    clip = clips["lead_car"]
    plain, halved = (play(recognizer(clip, depth_scale=s), clip.frames)[1:] for s in (1.0, 0.5))
    for one, half in zip(plain, halved, strict=True):
        np.testing.assert_allclose(half.frame.depth, one.frame.depth / 2)
        assert one.pair is not None
        assert half.pair is not None
        t, scaled = (s.pair.static.T_second_from_first[:3, 3] for s in (one, half))
        np.testing.assert_allclose(scaled, t / 2, atol=0.01)
        np.testing.assert_array_equal(half.pair.thresholds, one.pair.thresholds)


def test_thresholds_are_those_of_the_pairs_own_time(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    steps = play(recognizer(clip, thresholds=Thresholds(0.3, 2.0)), clip.frames)[1:]
    gaps = set()
    for step in steps:
        pair = step.pair
        assert pair is not None
        frames = clip.index(pair.second.name) - clip.index(pair.first.name)
        gaps.add(frames)
        assert pair.seconds == pytest.approx(frames * 0.1)
        np.testing.assert_allclose(pair.thresholds[:3, :3], 0.03 * frames)
        np.testing.assert_allclose(pair.thresholds[:3, 3], 0.2 * frames)
        assert np.isinf(pair.thresholds[3]).all()
    assert gaps == {1, 2}, "the gap grew until there was parallax"


# --- what it decides ------------------------------------------------------------------------------


def test_parked_cars_are_still(clips: dict[str, Clip]) -> None:
    clip = clips["parked"]
    for step in play(recognizer(clip), clip.frames)[1:]:
        assert step.pair is not None
        assert step.frame.dynamic.sum() > 5000
        assert step.pair.dynamic.ok
        assert step.pair.decision.motion is Motion.STILL
        assert not step.moving.any()


def test_an_empty_street_is_still_and_nothing_is_masked(clips: dict[str, Clip]) -> None:
    clip = clips["empty"]
    for step in play(recognizer(clip), clip.frames)[1:]:
        pair = step.pair
        assert pair is not None
        assert pair.decision.motion is Motion.STILL
        assert pair.decision.why == pair.dynamic.why == "no pixel of a dynamic category"
        assert not step.moving.any()
        assert not pair.projection().masked.any()


def test_the_car_ahead_moves(clips: dict[str, Clip]) -> None:
    """It goes with the camera: its own pose says that the camera stands, 7 m/s off."""
    clip = clips["lead_car"]
    steps = play(recognizer(clip), clip.frames)[1:]
    motions = [step.pair.decision.motion for step in steps if step.pair]
    assert len(motions) == 7
    assert Motion.STILL not in motions
    assert motions.count(Motion.MOVING) >= 5
    for step in steps:
        assert set(np.unique(step.moving)) <= {0, int(step.pair.decision.motion)}


@pytest.mark.parametrize("scene", ["crossing", "oncoming"])
def test_the_literal_gate_is_no_judge_of_small_or_mixed_regions(
    clips: dict[str, Clip], scene: str
) -> None:
    """No more is promised here than that it decides, gives a reason and keeps the static pose.

    Things move in both scenes. Measured: the literal gate calls most pairs of crossing still (a
    car at right angles some 30 m ahead is a few pixels of motion, which six degrees of freedom
    explain as well), and all of oncoming (one pose for all cars is that of the many parked ones).
    """
    clip = clips[scene]
    assert any(t.moving.any() for t in clip.truths)
    for step in play(recognizer(clip), clip.frames)[1:]:
        check(step)
        assert step.pair is not None
        assert step.pair.static.ok
        if step.pair.dynamic.ok:
            largest = step.pair.absolute_difference / step.pair.thresholds
            expected = Motion.MOVING if (largest > 1).any() else Motion.STILL
        else:
            expected = Motion.UNDECIDED
        assert step.pair.decision.motion is expected


def test_a_tighter_gate_moves_and_a_wider_one_is_still(clips: dict[str, Clip]) -> None:
    clip = clips["lead_car"]
    wide = play(recognizer(clip, thresholds=Thresholds(1e3, 1e3)), clip.frames[:3])
    assert [s.pair.decision.motion for s in wide if s.pair] == [Motion.STILL] * 2
    clip = clips["parked"]
    tight = play(recognizer(clip, thresholds=Thresholds(1e-9, 1e-9)), clip.frames[:3])
    assert [s.pair.decision.motion for s in tight if s.pair] == [Motion.MOVING] * 2


@pytest.mark.parametrize("scene", ["parked", "lead_car", "empty"])
def test_gate_off_masks_nothing_and_gate_all_masks_all(clips: dict[str, Clip], scene: str) -> None:
    clip = clips[scene]
    for step in play(recognizer(clip, gate="off"), clip.frames[:3])[1:]:
        check(step)
        assert not step.moving.any()
        assert not step.pair.projection().masked.any()
    for step in play(recognizer(clip, gate="all"), clip.frames[:3])[1:]:
        check(step)
        np.testing.assert_array_equal(step.moving, 2 * step.frame.dynamic.astype(np.uint8))
        masked = step.pair.projection().masked[0, 0].numpy()
        np.testing.assert_array_equal(masked, step.pair.first.dynamic)


@pytest.mark.parametrize("gate", ["image", "all"])
def test_what_came_into_view_between_the_frames_is_not_still(
    clips: dict[str, Clip], gate: str
) -> None:
    """No car in I1, one in I2: nothing is known of it, and gate all masks every one."""
    empty, busy = clips["empty"], clips["lead_car"]
    subject = recognizer(empty, busy, gate=gate)
    first = subject.observe("a", 0, empty.frames[0].image, empty.frames[0].camera)
    second = subject.observe("b", STEP, busy.frames[0].image, busy.frames[0].camera)
    assert not first.dynamic.any()
    assert second.dynamic.sum() > 500
    pair = subject.compare(first, second)
    assert (pair.moving[second.dynamic] != Motion.STILL).all()


def test_masks_of_moving_and_undecided_objects_reach_the_target(clips: dict[str, Clip]) -> None:
    """Blocks 106 and 107: undecided is masked; outside the mask both images are whole."""
    clip = clips["lead_car"]
    step = play(recognizer(clip), clip.frames[:2])[1]
    assert step.pair is not None
    assert step.pair.decision.motion is Motion.MOVING
    target = step.pair.projection()
    dynamic = step.pair.first.dynamic
    assert target.image.shape == target.projection.shape == (1, 3, 128, 416)
    np.testing.assert_array_equal(target.masked[0, 0], dynamic)
    image = target.image[0].permute(1, 2, 0).numpy()
    assert not image[dynamic].any()
    np.testing.assert_allclose(image[~dynamic] * 255, clip.frames[0].image[~dynamic], atol=1e-3)
    assert not target.projection[0].permute(1, 2, 0).numpy()[dynamic].any()


def test_an_undecided_pair_is_masked(clips: dict[str, Clip]) -> None:
    class Never:
        name = "never"

        def estimate(self, pair: PosePair) -> PoseEstimate:
            return PoseEstimate(why="never")

    clip = clips["lead_car"]
    step = play(recognizer(clip, estimator=Never()), clip.frames[:2])[1]
    check(step)
    assert step.pair is not None
    assert step.pair.decision.motion is Motion.UNDECIDED
    assert step.pair.decision.why == "no static pose: never"
    assert step.pair.projection() is None, "nothing to project with"
    assert (step.moving[step.frame.dynamic] == Motion.UNDECIDED).all()


def test_an_undecided_pair_is_masked_in_the_target_images(clips: dict[str, Clip]) -> None:
    """The static and the target pose are there, the dynamic one is not."""

    class NoDynamic:
        name = "no dynamic"
        calls = 0

        def estimate(self, pair: PosePair) -> PoseEstimate:
            self.calls += 1  # static, dynamic, target: the order of compare
            return PoseEstimate(why="never") if self.calls == 2 else PoseEstimate(ok=True)

    clip = clips["lead_car"]
    step = play(recognizer(clip, estimator=NoDynamic()), clip.frames[:2])[1]
    assert step.pair is not None
    assert step.pair.decision.motion is Motion.UNDECIDED
    target = step.pair.projection()
    assert target is not None
    np.testing.assert_array_equal(target.masked[0, 0], step.pair.first.dynamic)


def test_the_projection_image_is_the_first_one_seen_by_the_second(clips: dict[str, Clip]) -> None:
    clip = clips["parked"]
    step = play(recognizer(clip), clip.frames[:2])[1]
    assert step.pair is not None
    target = step.pair.projection()
    seen = (target.projection > 0).any(1, keepdim=True)
    second = torch.from_numpy(clip.frames[1].image).permute(2, 0, 1)[None].float() / 255
    whole = photometric.whole_windows(seen)
    projected = photometric.masked_mean(
        photometric.photometric_error(target.image, target.projection), whole
    )[0].item()
    unmoved = photometric.masked_mean(photometric.photometric_error(target.image, second), whole)[
        0
    ].item()
    assert whole.float().mean() > 0.5
    # Measured 0.030 with the estimated pose, 0.16 without any.
    assert projected < 0.06
    assert projected < unmoved / 2.5


def test_what_each_pose_is_estimated_from(clips: dict[str, Clip]) -> None:
    """Static: nothing on or near what could move. Dynamic: that alone. Target: everything."""
    seen: list[PosePair] = []

    class Watching(PnpEstimator):
        def estimate(self, pair: PosePair) -> PoseEstimate:
            seen.append(pair)
            return super().estimate(pair)

    clip = clips["parked"]
    step = play(recognizer(clip, estimator=Watching()), clip.frames[:2])[1]
    assert step.pair is not None
    assert len(seen) == 2, "nobody has asked for the target pose yet"
    assert step.pair.target.ok
    assert step.pair.target is step.pair.target, "estimated once"
    static, dynamic, target = seen
    one, two = step.pair.first, step.pair.second
    for pair, keeps in ((static, False), (dynamic, True)):
        for ends, image, frame in (
            (pair.correspondences.first, pair.masked_images()[0], one),
            (pair.correspondences.second, pair.masked_images()[1], two),
        ):
            u, v = np.rint(ends).astype(int).T
            assert len(u) > 10
            assert (frame.dynamic[v, u] == keeps).all()
            kept = frame.dynamic if keeps else ~frame.dynamic
            assert not image[~kept].any()
            if keeps:
                np.testing.assert_array_equal(image[kept], frame.image[kept])
            else:
                # The margin: two pixels around, in every direction.
                v, u = np.argwhere(frame.dynamic).T
                for dv, du in ((2, 0), (-2, 0), (0, 2), (0, -2), (2, 2), (-2, -2)):
                    around = np.clip(v + dv, 0, 127), np.clip(u + du, 0, 415)
                    assert not image[around].any()
    assert len(static.correspondences) + len(dynamic.correspondences) <= len(target.correspondences)
    assert len(target.correspondences) == len(step.pair.correspondences)
    for got, frame in zip(target.masked_images(), (one, two), strict=True):
        np.testing.assert_array_equal(got, frame.image)
    for pair in seen:
        np.testing.assert_array_equal(pair.depth, clip.truths[0].depth)


def test_epipolar_serves_as_well(clips: dict[str, Clip]) -> None:
    clip = clips["parked"]
    for step in play(recognizer(clip, estimator=EpipolarEstimator()), clip.frames[:4])[1:]:
        check(step)
        assert step.pair is not None
        assert step.pair.static.ok
        T = clip.relative(clip.index(step.pair.first.name), clip.index(step.pair.second.name))
        # Measured 0.35 degrees and 0.23 m at worst.
        got = step.pair.static.T_second_from_first
        assert np.degrees(se3.rotation_angle(got @ np.linalg.inv(T))) < 1.0
        assert np.linalg.norm(got[:3, 3] - T[:3, 3]) < 0.4


def test_moving_map_numbers() -> None:
    dynamic = np.array([[True, False]])
    for motion in Motion:
        assert moving_map(dynamic, motion).tolist() == [[motion.value, 0]]
