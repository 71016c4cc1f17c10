# SPDX-License-Identifier: Apache-2.0
"""Regions as vision_msgs, with the installed package and with stand-ins of its classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the detections are ROS messages")

import vision_stand_in
from std_msgs.msg import Header
from test_objects import HEADER, NOTHING, region, result

from depth_recog.method.gate.by_image import Motion
from depth_recog.nodes.io import detections, seam

KINDS = {"stand-in": vision_stand_in, "vision_msgs": seam.vision_messages()}


@pytest.fixture(params=KINDS)
def kinds(request: pytest.FixtureRequest) -> Any:
    if KINDS[request.param] is None:
        pytest.skip("vision_msgs is not installed here")
    return KINDS[request.param]


def test_a_moving_car(kinds: Any) -> None:
    array = detections.detections(kinds, result(region()), HEADER)
    assert array.header == HEADER
    (found,) = array.detections
    assert (found.id, found.header) == ("5", HEADER)
    assert (found.bbox.center.position.x, found.bbox.center.position.z) == (1.0, 12.0)
    assert (found.bbox.size.x, found.bbox.size.y, found.bbox.size.z) == (2.0, 1.5, 3.0)
    assert found.bbox.center.orientation.w == 1
    car, motion = found.results
    assert car.hypothesis.class_id == "car"
    assert car.hypothesis.score == 1
    p = car.pose.pose.position
    assert (p.x, p.y, p.z) == (1.0, 0.5, 12.0)
    position = np.reshape(car.pose.covariance, (6, 6))[:3, :3]
    # 20 % of the distance along the ray, and the box's extent.
    assert math.sqrt(position[2, 2]) == pytest.approx(math.hypot(0.2 * 12, 3 / math.sqrt(12)))
    assert np.linalg.eigvalsh(position).min() > 0
    assert motion.hypothesis.class_id == "moving"
    assert motion.hypothesis.score == pytest.approx(1 / (1 + math.exp(-6)))
    v = motion.pose.pose.position
    assert (v.x, v.y, v.z) == (3.0, 0.0, 4.0)
    velocity = np.reshape(motion.pose.covariance, (6, 6))
    assert np.array_equal(np.diag(velocity), (0.25, 81, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("motion", "score", "expected"),
    [
        (Motion.MOVING, 1e9, 1.0),
        (Motion.STILL, -12.0, 1 / (1 + math.exp(-6))),
        (Motion.STILL, -1e9, 1.0),
        (Motion.UNDECIDED, 2.0, 0.5),
        (Motion.UNDECIDED, math.nan, 0.5),
    ],
)
def test_the_confidence_of_a_decision(motion: Motion, score: float, expected: float) -> None:
    assert detections.confidence(region(motion=motion, score=score)) == pytest.approx(expected)


def test_what_was_not_measured_is_nan_and_what_has_no_place_is_left_out(kinds: Any) -> None:
    unmeasured = region(3, Motion.UNDECIDED, velocity=NOTHING, velocity_std=NOTHING)
    array = detections.detections(kinds, result(unmeasured, region(4, centre=NOTHING)), HEADER)
    (found,) = array.detections
    assert math.isnan(found.results[1].pose.pose.position.x)
    assert math.isnan(found.results[1].pose.covariance[0])
    assert not math.isnan(found.results[0].pose.covariance[0])


def test_without_regions_the_array_is_empty(kinds: Any) -> None:
    for none in (None, result()):
        array = detections.detections(kinds, none, HEADER)
        assert (array.header, list(array.detections)) == (HEADER, [])


def test_the_names_of_the_labels(kinds: Any) -> None:
    message = detections.label_info(kinds, ("road", "sky"), Header(frame_id=""))
    names = [(entry.class_id, entry.class_name) for entry in message.class_map]
    assert names == [(0, "road"), (1, "sky")]
