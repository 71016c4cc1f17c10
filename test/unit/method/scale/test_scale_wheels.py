# SPDX-License-Identifier: Apache-2.0
"""Odometry of real wheels: noise, slip, another radius, and images that move while they stand."""

from __future__ import annotations

import math

import numpy as np

from depth_recog.method.scale.agreement import SeenMotion
from depth_recog.method.scale.alignment import RoadPlane
from depth_recog.method.scale.estimator import ScaleEstimator, ScaleSettings
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import ScaleState
from depth_recog.method.scale.motion import OdometryBuffer

STEP_NS = 10**8
UNIT, HEIGHT = 0.8, 1.65
FRAMES = 60
NO_PIXELS = np.zeros(0, np.intp)


def driven(ways: list[tuple[float, float]], mode: str = "odometry") -> ScaleEstimator:
    """Drive: for each frame the true step, and what the wheels measure, metres."""
    odometry = OdometryBuffer()
    mount = CameraMount(HEIGHT) if mode == "auto" else None
    estimator = ScaleEstimator(ScaleSettings(mode, mount=mount), odometry)
    place = measured = 0.0
    for i, (true, wheels) in enumerate(ways):
        place, measured = place + true, measured + wheels
        odometry.add(i * STEP_NS, np.array((measured, 0.0, 0.0)))
        estimator.moved(i * STEP_NS, np.array((0.0, 0.0, place / UNIT)))
        plane = RoadPlane(np.array((0, 1, 0)), HEIGHT / true, 0.02, np.eye(4), NO_PIXELS, NO_PIXELS)
        log_length = math.log(true / UNIT)
        estimator.observe(i * STEP_NS, SeenMotion(log_length, 0.0, plane), log_length)
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
