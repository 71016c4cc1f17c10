# SPDX-License-Identifier: Apache-2.0
"""Blocks 101 to 107 in their order with the image gate, and networks that know the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_streams import CAR, IMAGE_GATE, STEP, Shot, Stream, motion_of_pair, play, shots

from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.geometry import se3
from depth_recog.method.loss import photometric
from depth_recog.method.masking import PresetRules
from depth_recog.method.pair import Step, moving_map
from depth_recog.method.pose.epipolar import EpipolarEstimator
from depth_recog.method.pose.estimator import PoseEstimate, PosePair
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.scale.estimator import ScaleSettings


def clip(scene: str) -> tuple[Shot, ...]:
    return shots(scene, 20, 8)


def paired(given: tuple[Shot, ...], **settings: object) -> list[Step]:
    """All steps but the first, which has no partner."""
    return play(given, **{**IMAGE_GATE, **settings})[1:]


# --- depth, labels and poses ----------------------------------------------------------------------


def test_one_frame_alone() -> None:
    """Without a partner dynamic objects are undecided; depth and labels are there."""
    shot = clip("parked")[0]
    (step,) = play([shot], **IMAGE_GATE)
    assert step.why_alone == "first frame"
    np.testing.assert_array_equal(step.frame.depth, shot.depth)
    np.testing.assert_array_equal(step.frame.labels, shot.labels)
    np.testing.assert_array_equal(step.frame.dynamic, shot.labels == CAR)
    np.testing.assert_array_equal(step.moving, shot.labels == CAR)
    assert step.frame.depth.dtype == np.float32
    assert step.frame.labels.dtype == np.uint8
    assert step.seconds.keys() == {
        "optical flow",
        "segmentation network",
        "features",
        "depth network",
    }
    assert step.frame.rules == PresetRules()


def pose_error(step: Step, given: tuple[Shot, ...]) -> tuple[float, float]:
    """Error of the static pose: rotation in degrees, translation in metres."""
    assert step.pair.static.ok
    T, got = motion_of_pair(given, step.pair), step.pair.static.T_second_from_first
    angle = np.degrees(se3.rotation_angle(got @ np.linalg.inv(T)))
    return angle, float(np.linalg.norm(got[:3, 3] - T[:3, 3]))


@pytest.mark.parametrize("scene", ["parked", "empty", "lead_car", "crossing", "oncoming"])
def test_static_pose_is_the_cameras_motion_from_first_to_second(scene: str) -> None:
    """inverse(world_from_second) @ world_from_first, and not its inverse."""
    for step in paired(clip(scene)):
        rotation, translation = pose_error(step, clip(scene))
        # Measured over 100 pairs: 0.09 degrees, 6 cm of 1.5 m.
        assert rotation < 0.2
        assert translation < 0.1
        got = step.pair.static.T_second_from_first[:3, 3]
        backward = np.linalg.inv(motion_of_pair(clip(scene), step.pair))
        assert np.linalg.norm(got - backward[:3, 3]) > 1.2
        assert got[2] < -0.6, "the camera drives forward: points come nearer"


def test_epipolar_serves_as_well() -> None:
    for step in paired(clip("parked")[:4], estimator=EpipolarEstimator()):
        rotation, translation = pose_error(step, clip("parked"))
        # Measured 0.35 degrees and 0.23 m at worst.
        assert rotation < 1.0
        assert translation < 0.4


def test_a_scale_is_one_for_depth_poses_and_gate() -> None:
    """Half the scale halves depth and translations; the thresholds stay the same."""
    plain, halved = (
        paired(clip("lead_car"), scale=ScaleSettings("constant", s)) for s in (1.0, 0.5)
    )
    for one, half in zip(plain, halved, strict=True):
        np.testing.assert_allclose(half.frame.depth, one.frame.depth / 2)
        t, scaled = (s.pair.static.T_second_from_first[:3, 3] for s in (one, half))
        np.testing.assert_allclose(scaled, t / 2, atol=0.01)
        np.testing.assert_array_equal(half.pair.thresholds, one.pair.thresholds)


def test_thresholds_are_those_of_the_pairs_own_time() -> None:
    gaps = set()
    for step in paired(clip("empty"), thresholds=Thresholds(0.3, 2.0)):
        pair = step.pair
        frames = (pair.second.stamp_ns - pair.first.stamp_ns) // STEP
        gaps.add(frames)
        assert pair.seconds == pytest.approx(frames * 0.1)
        assert {"optical flow", "static pose", "gate"} <= step.seconds.keys()
        np.testing.assert_allclose(pair.thresholds[:3, :3], 0.03 * frames)
        np.testing.assert_allclose(pair.thresholds[:3, 3], 0.2 * frames)
        assert np.isinf(pair.thresholds[3]).all()
    assert gaps == {1, 2}, "the gap grew until there was parallax"


# --- decisions ------------------------------------------------------------------------------------


def test_parked_cars_are_still() -> None:
    for step in paired(clip("parked")):
        assert step.frame.dynamic.sum() > 5000
        assert step.pair.dynamic.ok
        assert step.pair.decision.motion is Motion.STILL
        assert not step.moving.any()


def test_an_empty_street_is_still_and_nothing_is_masked() -> None:
    for step in paired(clip("empty")):
        assert step.pair.decision.motion is Motion.STILL
        assert step.pair.decision.why == step.pair.dynamic.why == "no pixel of a dynamic category"
        assert not step.moving.any()
        assert not step.pair.projection().masked.any()


def test_the_car_ahead_moves() -> None:
    """It drives with the camera: by its own pose the camera is at rest, 7 m/s off."""
    steps = paired(clip("lead_car"))
    motions = [step.pair.decision.motion for step in steps]
    assert len(motions) == 7
    assert Motion.STILL not in motions
    assert motions.count(Motion.MOVING) >= 5
    for step in steps:
        assert set(np.unique(step.moving)) <= {0, int(step.pair.decision.motion)}


@pytest.mark.parametrize("scene", ["crossing", "oncoming"])
def test_the_image_gate_does_not_find_small_or_mixed_movers(scene: str) -> None:
    """It only has to decide by its thresholds and to keep the static pose.

    Cars move in both scenes. Measured: the image gate decides "still" on most pairs of crossing (a
    car at right angles some 30 m ahead moves by a few pixels, which six degrees of freedom explain
    as well), and on all of oncoming (one pose for all cars is that of the many parked ones).
    """
    assert any(shot.moving.any() for shot in clip(scene))
    for step in paired(clip(scene)):
        assert step.pair.static.ok
        expected = Motion.UNDECIDED
        if step.pair.dynamic.ok:
            largest = step.pair.absolute_difference / step.pair.thresholds
            expected = Motion.MOVING if (largest > 1).any() else Motion.STILL
        assert step.pair.decision.motion is expected


@pytest.mark.parametrize(
    ("scene", "threshold", "motion"),
    [("lead_car", 1e3, Motion.STILL), ("parked", 1e-9, Motion.MOVING)],
)
def test_thresholds_decide(scene: str, threshold: float, motion: Motion) -> None:
    steps = paired(clip(scene)[:3], thresholds=Thresholds(threshold, threshold))
    assert [step.pair.decision.motion for step in steps] == [motion] * 2


@pytest.mark.parametrize("scene", ["parked", "lead_car", "empty"])
def test_gate_off_masks_nothing_and_gate_all_masks_all(scene: str) -> None:
    for step in paired(clip(scene)[:3], gate="off"):
        assert not step.moving.any()
        assert not step.pair.projection().masked.any()
    for step in paired(clip(scene)[:3], gate="all"):
        np.testing.assert_array_equal(step.moving, 2 * step.frame.dynamic.astype(np.uint8))
        masked = step.pair.projection().masked
        np.testing.assert_array_equal(masked, step.pair.first.dynamic)


@pytest.mark.parametrize("gate", ["image", "all"])
def test_an_object_in_the_second_frame_only_is_not_still(gate: str) -> None:
    """Nothing is known of its motion, and `gate: all` masks every object."""
    stream = Stream(**{**IMAGE_GATE, "gate": gate})
    empty, busy = clip("empty")[0], replace(clip("lead_car")[0], stamp_ns=10**10)
    first = stream.observe(replace(empty, stamp_ns=busy.stamp_ns - STEP))
    second = stream.observe(busy)
    assert not first.dynamic.any()
    assert second.dynamic.sum() > 500
    pair = stream.recognizer.compare(first, second)
    assert (pair.moving[second.dynamic] != Motion.STILL).all()


# --- target images --------------------------------------------------------------------------------


def test_masks_of_moving_objects_reach_the_target() -> None:
    """Blocks 106 and 107; outside the mask both images are whole."""
    (step,) = paired(clip("lead_car")[:2])
    assert step.pair.decision.motion is Motion.MOVING
    target = step.pair.projection()
    dynamic = step.pair.first.dynamic
    assert target.image.shape == target.projection.shape == (128, 416, 3)
    np.testing.assert_array_equal(target.masked, dynamic)
    assert not target.image[dynamic].any()
    whole = clip("lead_car")[0].image[~dynamic]
    np.testing.assert_array_equal(target.image[~dynamic], whole)
    assert not target.projection[dynamic].any()


class Failing:
    """An estimator that fails at the given calls; their order is static, dynamic, target."""

    name = "failing"

    def __init__(self, *calls: int) -> None:
        self._calls, self._count = calls, 0

    def estimate(self, pair: PosePair) -> PoseEstimate:
        self._count += 1
        return PoseEstimate(why="never") if self._count in self._calls else PoseEstimate(ok=True)


def test_a_pair_without_poses_is_undecided() -> None:
    (step,) = paired(clip("lead_car")[:2], estimator=Failing(1, 2, 3))
    assert step.pair.decision.motion is Motion.UNDECIDED
    assert step.pair.decision.why == "no static pose: never"
    assert step.pair.projection() is None, "nothing to project with"
    assert (step.moving[step.frame.dynamic] == Motion.UNDECIDED).all()


def test_undecided_objects_are_masked_in_the_target_images() -> None:
    """The static and the target pose are there, the dynamic one is not."""
    (step,) = paired(clip("lead_car")[:2], estimator=Failing(2))
    assert step.pair.decision.motion is Motion.UNDECIDED
    np.testing.assert_array_equal(step.pair.projection().masked, step.pair.first.dynamic)


def test_the_projection_image_is_the_first_one_seen_by_the_second() -> None:
    given = clip("parked")[:2]
    (step,) = paired(given)
    target = step.pair.projection()
    first, projection, second = (
        torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        for image in (target.image, target.projection, given[1].image)
    )
    whole = photometric.whole_windows((projection > 0).any(1, keepdim=True))
    projected, unmoved = (
        photometric.masked_mean(photometric.photometric_error(first, image), whole)[0].item()
        for image in (projection, second)
    )
    assert whole.float().mean() > 0.5
    # Measured 0.030 with the estimated pose, 0.16 without any.
    assert projected < 0.06
    assert projected < unmoved / 2.5


def test_what_each_pose_is_estimated_from() -> None:
    """Static: nothing on or near dynamic objects. Dynamic: those alone. Target: everything."""
    seen: list[PosePair] = []

    class Watching(PnpEstimator):
        def estimate(self, pair: PosePair) -> PoseEstimate:
            seen.append(pair)
            return super().estimate(pair)

    (step,) = paired(clip("parked")[:2], estimator=Watching())
    assert len(seen) == 2, "the target pose is estimated on request"
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
        np.testing.assert_array_equal(pair.depth, clip("parked")[0].depth)


def test_moving_map_numbers() -> None:
    dynamic = np.array([[True, False]])
    for motion in Motion:
        assert moving_map(dynamic, motion).tolist() == [[motion.value, 0]]
