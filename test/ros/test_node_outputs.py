# SPDX-License-Identifier: Apache-2.0
"""A depth node with two cameras, its services, packed masks, points without movers, detections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import DEPTH, HEIGHT, INFO, NODE, WIDTH, fleet, street
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from test_depth_outputs import ODOM, POINTS, SCALED, Outputs, drive, points_of, position

pytestmark = pytest.mark.ros


@pytest.fixture
def start() -> Iterator[Any]:
    """Start nodes; return the robot around each. All are killed at the end."""
    with fleet(Outputs) as starter:
        yield lambda *arguments, **options: starter(*arguments, **options)[1]


def test_two_cameras_on_one_topic_and_a_reset(start: Any) -> None:
    """Another frame_id starts a new path, as does the service; nothing is compared across them."""
    services = pytest.importorskip("std_srvs.srv")
    robot = start("both", SCALED | {"frame_prefix": "left/"})
    robot.begin({DEPTH: Image, ODOM: Odometry, "pose/static": TransformStamped}, (DEPTH, ODOM))
    path, _, _ = drive(robot, 4)
    assert path[-1].header.frame_id == "left/odom"
    assert path[-1].child_frame_id == "left/camera_link"
    assert position(path[-1])[0] > 0.3

    def other(index: int) -> int:
        stamp = robot.new_stamp()
        robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp, frame="right"))
        robot.images.publish(
            ros_messages.image_message(street(index), "rgb8", stamp, frame="right")
        )
        return stamp

    stamp = other(4)
    assert not position(robot.of(ODOM, stamp)).any()
    assert robot.of_stamp("pose/static", stamp) is None
    robot.process.wait_for_line("frame_id has changed from 'cam' to 'right'")
    assert position(robot.of(ODOM, other(5)))[0] > 0.1
    request = services.Trigger.Request()
    assert robot.call(f"{NODE}/reset_odometry", services.Trigger, request, harmless=True).success
    assert not position(robot.of(ODOM, other(6))).any()
    robot.change_states(NODE, "deactivate")
    answer = robot.call(f"{NODE}/reset_odometry", services.Trigger, request, harmless=True)
    assert not answer.success
    assert "publish_odom" in answer.message
    assert {status.hardware_id for status in robot.statuses.values()} == {"/both/image"}
    robot.process.end()


def test_masks_packed_and_points_without_movers(start: Any) -> None:
    robot = start("packed")
    masks = ("mask/labels", "mask/dynamic", "mask/moving")
    topics: dict[str, type] = dict.fromkeys(masks, Image)
    topics |= {f"{mask}/compressed": CompressedImage for mask in masks}
    topics |= {
        DEPTH: Image,
        INFO: CameraInfo,
        POINTS: PointCloud2,
        "depth/points_static": PointCloud2,
    }
    robot.begin(topics, tuple(topics))
    # All dynamic objects count as moving.
    assert robot.set_parameters(NODE, gate="all", points_step=1) == (True, "")
    robot.image(0)
    stamp = robot.image(1)
    got = robot.all_of(stamp, tuple(topics))
    for mask in masks:
        packed = got[f"{mask}/compressed"]
        assert packed.format == "mono8; png compressed "
        assert packed.header == got[mask].header
        pixels = cv2.imdecode(np.frombuffer(packed.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(pixels, ros_messages.array_of(got[mask]))
    every, still = points_of(got[POINTS])[0], points_of(got["depth/points_static"])[0]
    movers = ros_messages.array_of(got["mask/moving"]) == 2
    assert movers.any()
    assert np.isnan(still[movers]).all()
    assert np.array_equal(still[~movers], every[~movers], equal_nan=True)
    assert np.isfinite(every[movers]).any()
    # The second camera of a stereo pair keeps its baseline.
    stamp = robot.new_stamp()
    info = ros_messages.info_message((WIDTH, HEIGHT), stamp)
    info.p[3] = -45.0
    robot.infos.publish(info)
    robot.images.publish(ros_messages.image_message(street(2), "rgb8", stamp))
    assert robot.of(INFO, stamp).p[3] == pytest.approx(-45.0)
    robot.process.end()


def test_detections_and_the_names_of_the_labels(start: Any) -> None:
    """A subscriber that comes late gets the names too."""
    vision = pytest.importorskip("vision_msgs.msg", reason="the pip wheels lack vision_msgs")
    robot = start("vision", {"gate": "object"})
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    names: list[Any] = []
    robot.node.create_subscription(vision.LabelInfo, "mask/label_info", names.append, latched)
    robot.wait(lambda: names, "the names")
    assert names[0].class_map[13].class_name == "car"
    robot.begin({DEPTH: Image, "detections": vision.Detection3DArray}, (DEPTH, "detections"))
    for index in range(6):
        stamp = robot.image(index)
        found = robot.of("detections", stamp)
    assert found.detections
    for detection in found.detections:
        assert detection.bbox.center.position.z > 0
        assert detection.results[1].hypothesis.class_id in ("still", "undecided", "moving")
    robot.process.end()
