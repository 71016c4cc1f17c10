# SPDX-License-Identifier: Apache-2.0
"""The scale in the depth node: depth that is not in metres is not called so; tf without tf2."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Transform, TwistStamped
from hostile_camera import Target
from hostile_motion import MotionFire
from nav_msgs.msg import Odometry
from robot import DEPTH, INFO, NODE, Robot, fleet, street
from sensor_msgs.msg import CameraInfo, Image

from depth_recog.interfaces.robot_motion import RobotMotion
from depth_recog.method.scale.estimator import ScaleSettings
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.nodes.io import scale_inputs
from depth_recog.nodes.io.outputs import ODOM, RELATIVE
from depth_recog.nodes.io.scale_inputs import ScaleInputs, TransformTree, mount_of

WARN, OK = DiagnosticStatus.WARN, DiagnosticStatus.OK
SPEED = 8.0
LATEST = 60
"""Frames after which the scale must have been found; it takes 1 to 2 seconds, 10 to 20 frames."""
ROUNDS = 3


# tf


def transform(z: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Transform:
    """Rotation about y (pitch down) after one about x (roll)."""
    message = Transform()
    message.translation.z = z
    half, turn = math.radians(pitch) / 2, math.radians(roll) / 2
    q = message.rotation
    q.w, q.x = math.cos(half) * math.cos(turn), math.cos(half) * math.sin(turn)
    q.y, q.z = math.sin(half) * math.cos(turn), -math.sin(half) * math.sin(turn)
    return message


def optical() -> Transform:
    """From a camera_link to its optical frame (REP 103)."""
    message = Transform()
    q = message.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    return message


def tree(*order: int) -> TransformTree:
    """A robot whose base_link is 0.2 m above its footprint, and its camera 1 m above that."""
    parts = [
        ("base_footprint", "base_link", transform(0.2)),
        ("base_link", "camera_link", transform(1.0, pitch=10)),
        ("/camera_link", "/optical", optical()),
    ]
    result = TransformTree()
    for number in order:
        result.add(*parts[number])
    return result


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_height_and_direction_to_the_ground_come_from_tf(order: tuple[int, ...]) -> None:
    matrix = tree(*order).between("base_footprint", "optical")
    assert matrix is not None
    mount = mount_of(matrix)
    assert mount is not None
    assert mount.height == pytest.approx(1.2)
    assert mount.down == pytest.approx((0, math.cos(math.radians(10)), math.sin(math.radians(10))))
    assert mount.tilt_std < CameraMount.tilt_std


def test_a_footprint_below_base_link_serves_as_well() -> None:
    other = tree(1, 2)
    other.add("base_link", "base_footprint", transform(-0.2))
    matrix = other.between("base_footprint", "optical")
    assert matrix is not None
    assert matrix[2, 3] == pytest.approx(1.2)


def test_frames_that_are_not_connected_or_go_in_a_circle() -> None:
    assert tree(0, 1).between("base_footprint", "optical") is None
    circle = TransformTree()
    circle.add("a", "b", transform())
    circle.add("b", "a", transform())
    assert circle.between("base_footprint", "a") is None
    assert mount_of(np.eye(4)) is None, "a camera in the ground"


def test_a_publisher_of_endless_frames_is_bounded() -> None:
    found = tree(0, 1, 2)
    for number in range(3000):
        found.add(f"parent {number}", f"child {number}", transform())
        found.add("base_link", "x" * 100_000 + str(number), transform())
    assert len(found._parents) == 1000
    found.add("base_link", "camera_link", transform(2.0))
    matrix = found.between("base_footprint", "optical")
    assert matrix is not None
    assert matrix[2, 3] == pytest.approx(2.2)


class Watch:
    """Keeps the callbacks of subscriptions by topic."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}
        self.warnings: list[str] = []
        log = SimpleNamespace(warning=self.warnings.append)
        self.node = SimpleNamespace(get_logger=lambda: log)

    def subscription(self, kind: type, topic: str, callback: Any, qos: Any) -> str:
        self.callbacks[topic] = callback
        return topic

    def destroy(self, topic: str) -> None:
        del self.callbacks[topic]


def inputs(watch: Watch, scale: ScaleSettings, mounts: list[CameraMount]) -> ScaleInputs:
    motion = RobotMotion(OdometryBuffer())
    return ScaleInputs(watch, scale, motion, "base_footprint", mounts.append)


def tf_message(*parts: tuple[str, str, Transform]) -> SimpleNamespace:
    return SimpleNamespace(
        transforms=[
            SimpleNamespace(
                header=SimpleNamespace(frame_id=parent), child_frame_id=child, transform=moved
            )
            for parent, child, moved in parts
        ]
    )


def test_a_mount_is_told_once_and_again_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(TFMessage=SimpleNamespace)
    monkeypatch.setattr(scale_inputs, "transform_messages", lambda: stand_in)
    watch, mounts = Watch(), []
    made = inputs(watch, ScaleSettings("auto"), mounts)
    assert set(watch.callbacks) == {"odometry", "speed", "gps", "/tf", "/tf_static"}
    static = tf_message(("base_link", "camera_link", transform(1.0)))
    watch.callbacks["/tf_static"](static)
    assert not mounts, "the frame of the images is not known yet"
    made.frame = "camera_link"
    for height in (0.2, 0.2001, 0.2, 0.5):
        watch.callbacks["/tf"](tf_message(("base_footprint", "base_link", transform(height))))
    assert [mount.height for mount in mounts] == pytest.approx([1.2, 1.5])
    made.close()
    assert not watch.callbacks


def test_without_tf2_msgs_the_height_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_inputs, "transform_messages", lambda: None)
    watch = Watch()
    inputs(watch, ScaleSettings("camera_height"), [])
    assert not watch.callbacks
    assert "set camera_height" in watch.warnings[0]
    inputs(watch, ScaleSettings("camera_height", mount=CameraMount(1.0)), [])
    assert len(watch.warnings) == 1


# The node


def own_mb(process: rp.Process) -> float:
    """Memory without what it shares with publishers."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def speed_message(stamp: int) -> TwistStamped:
    message = TwistStamped()
    message.header.stamp = ros_messages.stamp_of(stamp)
    message.twist.linear.x = SPEED
    return message


def topic_of(robot: Robot, stamp: int) -> str:
    """Wait for the depth of an image; return the topic that has it."""

    def heard() -> bool:
        return any(robot.of_stamp(topic, stamp) for topic in (DEPTH, RELATIVE))

    robot.wait(heard, f"depth of {stamp}")
    return DEPTH if robot.of_stamp(DEPTH, stamp) else RELATIVE


def drive(robot: Robot, speeds: Any, first: int) -> tuple[int, int]:
    """Drive on from a frame until there are metres; return the number of frames, and the stamp."""
    for index in range(1, LATEST):
        stamp = robot.new_stamp()
        speeds.publish(speed_message(stamp))
        robot.send(street(first + index), stamp=stamp)
        robot.of(INFO, stamp)
        if topic_of(robot, stamp) == DEPTH:
            return index, stamp
        assert not robot.heard[ODOM]
    raise AssertionError(robot.statuses["scale"])


@pytest.mark.ros
def test_depth_is_published_when_it_is_in_metres() -> None:
    with fleet(Robot) as start:
        parameters = {"scale": "odometry", "publish_odom": True, "unscaled_depth": "hold"}
        _, robot = start("metres", parameters | {"width": 0})
        speeds = robot.node.create_publisher(TwistStamped, "speed", 50)
        robot.advertise()
        robot.listen({DEPTH: Image, INFO: CameraInfo, RELATIVE: Image, ODOM: Odometry})
        robot.send_until_heard(street(0), (INFO,))
        assert robot.set_parameters(NODE, unscaled_depth="relative") == (True, "")
        assert not robot.heard[RELATIVE]
        robot.send_until_heard(street(0), (RELATIVE,))
        robot.status("scale", WARN, "acquiring")
        robot.wait(lambda: speeds.get_subscription_count(), "the subscription to speed")
        index, stamp = drive(robot, speeds, 0)
        assert index > 8
        robot.of(DEPTH, stamp)
        robot.of(ODOM, stamp)
        robot.status("scale", OK, "odometry agree")
        rows = robot.diagnostics
        assert (rows["scale"], rows["scale state"], rows["in metres"]) == (
            "odometry",
            "locked",
            "true",
        )
        assert robot.of_stamp(RELATIVE, stamp) is None


HOSTILE: dict[str, dict[str, Any]] = {
    "odometry": {"scale": "odometry"},
    "auto": {"scale": "auto", "camera_height": 1.65},
}


@pytest.mark.ros
@pytest.mark.parametrize("mode", HOSTILE)
def test_motion_that_no_robot_has_gives_no_metres(mode: str) -> None:
    """Every image gets its outcome, and honest messages serve at once when it has ended."""
    with fleet(Target) as start:
        process, robot = start(f"lies/{mode}", HOSTILE[mode] | {"width": 0})
        robot.advertise()
        robot.listen({INFO: CameraInfo, DEPTH: Image, RELATIVE: Image})
        fire = MotionFire(robot)
        robot.wait(fire.connected, "the subscriptions to the robot's motion")
        robot.send_until_heard(street(0), (INFO,))
        for index in (1, 2, 3):  # the memory of pairs
            robot.of(INFO, robot.image(index))
        published, memory = robot.settled()["published"], own_mb(process)
        for index, volley in enumerate(ROUNDS * fire.volleys, start=1):
            volley()
            robot.of(INFO, robot.image(index))
        counts = robot.settled()
        assert counts["published"] - published == ROUNDS * len(fire.volleys)
        assert not robot.wrong
        assert robot.statuses["callbacks"].message == "no callback fails"
        rows = robot.diagnostics
        if mode == "odometry":
            robot.status("scale", WARN, "odometry")
            assert not robot.heard[DEPTH]
        elif rows["in metres"] == "true":  # by the camera's height
            assert 0.5 < float(rows["scale factor"]) < 2
        assert "Warning" not in process.stderr, process.story()
        assert own_mb(process) - memory < 110, "its own is 70; the long names have 140"
        if mode == "odometry":
            robot.new_stamp(5 * 10**9)
            drive(robot, fire.publishers["speed"], index)
        process.end()
