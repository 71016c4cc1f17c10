# SPDX-License-Identifier: Apache-2.0
"""Scale from odometry, from both sources, and when they contradict each other."""

import math

import numpy as np
import pytest

from depth_recog.errors import ConfigurationError
from depth_recog.method.scale.agreement import SeenMotion
from depth_recog.method.scale.alignment import RoadPlane
from depth_recog.method.scale.estimator import (
    HEIGHT_SPAN_S,
    ScaleEstimator,
    ScaleSettings,
    chosen_scale,
)
from depth_recog.method.scale.filter import MeasurementFilter
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import Refusal, Scale, ScaleMeasurement, ScaleState
from depth_recog.method.scale.motion import ConstantSpeed, MotionComparison, OdometryBuffer

STEP_NS = 10**8
UNIT = 0.8
"""Metres per unit of the network in these tests."""


NO_PIXELS = np.zeros(0, np.intp)


def seen_road(step: float, seen: bool = True, gap: float = 0.0) -> SeenMotion | Refusal:
    """What a motion of `step` metres over a level road 1.65 m below the camera shows."""
    if step == 0 or not seen:
        return Refusal("the camera moves too little" if seen else "no road")
    plane = RoadPlane(np.array((0, 1.0, 0)), 1.65 / step, 0.02, np.eye(4), NO_PIXELS, NO_PIXELS)
    return SeenMotion(math.log(step / UNIT), gap, plane)


def driven(
    settings: ScaleSettings,
    odometry: OdometryBuffer,
    frames: int = 80,
    speed: float = 5.0,
    seen: bool = True,
    slip: float = 1.0,
    longer: float = 1.0,
    gap: float = 0.0,
) -> ScaleEstimator:
    """Drive straight on at 10 Hz.

    `slip` is the wheels' distance over the true one, `longer` that of the static poses, and `gap`
    what the network's unit differs by on the road, in log.
    """
    estimator = ScaleEstimator(settings, odometry)
    for i in range(frames):
        stamp, position = i * STEP_NS, np.array([0.0, 0.0, speed * i / 10])
        odometry.add(stamp, slip * position)
        log_path = math.log(longer * speed / 10 / UNIT) if speed else math.nan
        estimator.observe(stamp, seen_road(speed / 10, seen, gap), log_path)
        estimator.moved(stamp, longer * position / UNIT)
    return estimator


MOUNT = CameraMount(1.65)


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        (ScaleSettings("odometry"), True),
        (ScaleSettings("camera_height", mount=MOUNT), True),
        (ScaleSettings("auto", mount=MOUNT), True),
        (ScaleSettings("auto", mount=MOUNT), False),  # the road is hidden: odometry alone
        (ScaleSettings("auto"), True),
    ],
)
def test_each_mode_finds_the_unit(settings: ScaleSettings, seen: bool) -> None:
    scale = driven(settings, OdometryBuffer(), seen=seen).scale
    assert scale.state is ScaleState.LOCKED, scale.why
    assert scale.factor == pytest.approx(UNIT, rel=0.01)


def test_without_odometry_the_height_is_enough() -> None:
    estimator = ScaleEstimator(ScaleSettings("auto", mount=MOUNT), OdometryBuffer())
    states = []
    for i in range(50):
        states.append(estimator.observe(i * STEP_NS, seen_road(0.5)).state)
        estimator.moved(i * STEP_NS, np.zeros(3))
    # A road that bends for a moment must not decide alone.
    assert states.index(ScaleState.LOCKED) * STEP_NS == HEIGHT_SPAN_S * 1e9
    assert estimator.scale.state is ScaleState.LOCKED


@pytest.mark.parametrize("longer", [0.8, 1.25])
def test_a_static_pose_with_another_unit_than_the_image_is_corrected(longer: float) -> None:
    scale = driven(ScaleSettings("odometry"), OdometryBuffer(), longer=longer).scale
    assert scale.state is ScaleState.LOCKED, scale.why
    assert scale.factor == pytest.approx(UNIT, rel=0.01)
    assert driven(ScaleSettings("odometry"), OdometryBuffer(), longer=longer, seen=False)


@pytest.mark.parametrize("mode", ["odometry", "camera_height", "auto"])
@pytest.mark.parametrize("gap", [0.2, 0.45, -0.45])
def test_a_unit_that_differs_over_the_image_is_less_sure_or_no_metre(mode: str, gap: float) -> None:
    mount = None if mode == "odometry" else MOUNT
    settings = ScaleSettings(mode, mount=mount)
    scale = driven(settings, OdometryBuffer(), gap=gap).scale
    if gap == 0.2:
        assert scale.state is ScaleState.LOCKED, scale.why
        assert scale.std > driven(settings, OdometryBuffer()).scale.std
    else:
        assert scale.state is ScaleState.ACQUIRING
        assert "no factor" in scale.why
        assert not scale.metric


def test_sources_that_disagree_are_reported_and_not_trusted() -> None:
    scale = driven(ScaleSettings("auto", mount=MOUNT), OdometryBuffer(), slip=1.2).scale
    assert scale.state is not ScaleState.LOCKED
    assert "disagree" in scale.why


@pytest.mark.parametrize("speed", [0.0, 0.1])
def test_standing_still_shows_no_scale(speed: float) -> None:
    scale = driven(ScaleSettings("odometry"), OdometryBuffer(), frames=110, speed=speed).scale
    if speed:  # 0.1 m/s: 0.3 m take three seconds
        assert scale.state is ScaleState.LOCKED
    else:
        assert scale.state is ScaleState.ACQUIRING
        assert "moves too little" in scale.why


def test_none_and_constant_do_not_look_at_the_images() -> None:
    for settings, state in (
        (ScaleSettings(), ScaleState.NONE),
        (ScaleSettings("constant", 2.0), ScaleState.CONSTANT),
    ):
        estimator = ScaleEstimator(settings)
        scale = estimator.observe(0, Refusal("nothing was looked at"))
        assert (scale.state, scale.factor) == (state, settings.factor)
    assert not Scale().metric


@pytest.mark.parametrize(
    ("mode", "factor", "mount", "why"),
    [
        ("height", 1.0, None, "none, constant, camera_height, odometry, auto"),
        ("constant", 0.0, None, "positive"),
        ("constant", math.nan, None, "positive"),
    ],
)
def test_settings_that_cannot_work(
    mode: str, factor: float, mount: CameraMount | None, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ScaleSettings(mode, factor, mount)


@pytest.mark.parametrize(
    ("mode", "factor", "why"),
    [("constant", 0.0, "needs a factor"), ("auto", 2.0, "leave one out")],
)
def test_choices_that_contradict_each_other(mode: str, factor: float, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        chosen_scale(mode, factor, (0.0, None))


def test_choices() -> None:
    assert chosen_scale("none", 0.0, (0.0, None)) == ScaleSettings()
    assert chosen_scale("none", 2.0, (0.0, None)) == ScaleSettings("constant", 2.0)
    assert chosen_scale("auto", 0.0, (1.2, None)).mount == CameraMount(1.2)
    mount = chosen_scale("auto", 0.0, (1.2, 10.0)).mount
    assert mount is not None
    assert mount.down == pytest.approx((0, math.cos(math.radians(10)), math.sin(math.radians(10))))
    assert mount.tilt_std < CameraMount.tilt_std


def test_without_the_height_nothing_is_measured_and_the_reason_says_so() -> None:
    scale = driven(ScaleSettings("camera_height"), OdometryBuffer()).scale
    assert scale.state is ScaleState.ACQUIRING
    assert "height is not known" in scale.why


def test_frames_wait_for_the_odometry_of_their_time() -> None:
    """A GPS gives a position a second, after the frames of that second."""
    gps = OdometryBuffer(longest_gap_s=2.5)
    comparison, known = MotionComparison(gps), 0
    for i in range(60):
        position = np.array([0.0, 0.0, 0.5 * i])
        if i % 10 == 0:
            gps.add(i * STEP_NS, position)
        results = comparison.add(i * STEP_NS, position / UNIT)
        known += len(results)
        for then, result in results:
            assert then <= i * STEP_NS
            if isinstance(result, ScaleMeasurement):
                assert math.exp(result.log_scale) == pytest.approx(UNIT)
    assert known == 51
    late = [comparison.add((60 + i) * STEP_NS, position) for i in range(40)]
    refused = [result for results in late for _, result in results]
    assert len(refused) > 10
    assert all("no odometry" in result.why for result in refused)


def test_a_known_speed_is_odometry() -> None:
    comparison = MotionComparison(ConstantSpeed(3.0))
    results = [
        result
        for i in range(20)
        for _, result in comparison.add(i * STEP_NS, np.array([0, 0, 0.3 * i / UNIT]))
    ]
    assert isinstance(results[-1], ScaleMeasurement)
    assert math.exp(results[-1].log_scale) == pytest.approx(UNIT)


def test_positions_are_interpolated_but_not_across_a_gap_or_beyond_the_end() -> None:
    buffer = OdometryBuffer()
    for seconds, x in ((0, 0.0), (0.2, 1.0), (5, 9.0), (5.2, 10.0)):
        buffer.add(round(seconds * 1e9), np.array([x, 0, 0]))
    assert buffer.at(10**8) == pytest.approx([0.5, 0, 0])
    assert buffer.at(5 * 10**9) == pytest.approx([9, 0, 0])
    for outside in (-1, 10**9, 6 * 10**9):
        assert buffer.at(outside) is None


def test_speeds_are_integrated_and_a_gap_adds_no_distance() -> None:
    buffer = OdometryBuffer()
    for i in [*range(11), *range(60, 71)]:
        buffer.add_speed(i * STEP_NS, -2.0)  # backwards counts as well
    assert buffer.at(10 * STEP_NS) == pytest.approx([2, 0, 0])
    assert buffer.at(70 * STEP_NS) == pytest.approx([4, 0, 0])


def test_uncertain_positions_are_compared_over_a_longer_way() -> None:
    rng = np.random.default_rng(1)
    gps = OdometryBuffer(position_std=1.0)
    comparison = MotionComparison(gps)
    logs = []
    for i in range(300):
        position = np.array([0.0, 0.0, 1.2 * i])
        gps.add(i * STEP_NS, position + rng.normal(0, 0.7, 3))
        ((_, result),) = comparison.add(i * STEP_NS, position / UNIT)
        if isinstance(result, ScaleMeasurement):
            logs.append(result.log_scale)
        else:
            assert i < 12
    assert math.exp(float(np.median(logs))) == pytest.approx(UNIT, rel=0.03)
    assert np.std(logs) < 0.15


def test_wheels_that_spin_while_the_images_stand_still_are_refused() -> None:
    buffer = OdometryBuffer()
    comparison = MotionComparison(buffer)
    for i in range(20):
        buffer.add(i * STEP_NS, np.array([0.1 * i, 0, 0]))
        ((_, result),) = comparison.add(i * STEP_NS, np.zeros(3))
        assert isinstance(result, Refusal)
    assert "not both show" in result.why


def test_frames_whose_stamps_hardly_grow_are_not_kept_for_ever() -> None:
    """A camera that counts nanoseconds once a frame: no frame ever gets old."""
    comparison = MotionComparison(OdometryBuffer())
    results = [r for i in range(3000) for r in comparison.add(i, np.zeros(3))]
    assert len(results) >= 2700
    assert all(isinstance(result, Refusal) for _, result in results)
    measured = MeasurementFilter("odometry")
    moving = MotionComparison(ConstantSpeed(1e9))
    for i in range(3000):
        measured.add(i, ScaleMeasurement(0.0, 0.1))
        moving.add(i, np.zeros(3))
    assert len(measured._entries) == len(moving._places) == 2000
