# SPDX-License-Identifier: Apache-2.0
"""Graphs of other people: QoS, latched, slow, late and missing camera_info, names, restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import DEPTH, HEIGHT, WIDTH, Robot, fleet, street, unharmed
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

pytestmark = pytest.mark.ros

BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    """One node for all graphs that leave it as it was."""
    with fleet() as start:
        process, peer = start("graphs")
        peer.begin()
        yield peer
        process.end()


alive = pytest.fixture(autouse=True)(unharmed)


@pytest.fixture(autouse=True)
def without_a_camera(request: pytest.FixtureRequest) -> None:
    if "robot" in request.fixturenames:
        request.getfixturevalue("robot").withdraw()


def image(robot: Robot, stamp: int | None = None) -> int:
    stamp = robot.new_stamp() if stamp is None else stamp
    robot.images.publish(ros_messages.image_message(street(0), "rgb8", stamp))
    return stamp


def info(robot: Robot, stamp: int) -> None:
    robot.infos.publish(ros_messages.info_message(SIZE, stamp))


def both(robot: Robot) -> int:
    stamp = robot.new_stamp()
    info(robot, stamp)
    return image(robot, stamp)


def until_depth(robot: Robot, send: Any = both) -> None:
    robot.heard[DEPTH].clear()
    robot.repeat(lambda: send(robot), lambda: robot.heard[DEPTH], "depth")


def through(robot: Robot) -> None:
    """Wait until no earlier image is on its way: they arrive in order."""
    robot.depth_of(both(robot))


def qos_of_node(robot: Robot, topic: str) -> tuple[ReliabilityPolicy, DurabilityPolicy] | None:
    """The node's subscription to a topic; None while it renews it."""
    found = robot.node.get_subscriptions_info_by_topic(topic)
    ours = [f.qos_profile for f in found if f.node_name == "depth_node"]
    return (ours[0].reliability, ours[0].durability) if len(ours) == 1 else None


def expect_qos(robot: Robot, topic: str, qos: QoSProfile) -> None:
    wanted = qos.reliability, qos.durability
    robot.wait(lambda: qos_of_node(robot, topic) == wanted, f"a subscription to {topic} {wanted}")


# Quality of service


@pytest.mark.parametrize(
    ("images", "infos"),
    [(RELIABLE, RELIABLE), (BEST_EFFORT, BEST_EFFORT), (BEST_EFFORT, LATCHED), (LATCHED, LATCHED)],
    ids=["reliable", "best effort", "latched info", "latched image"],
)
def test_the_subscriptions_take_the_publishers_qos(
    robot: Robot, images: QoSProfile, infos: QoSProfile
) -> None:
    """Also when a driver is started again with another QoS: no warning, and depth comes."""
    robot.offer(images, infos)
    expect_qos(robot, "/graphs/image", images)
    expect_qos(robot, "/graphs/camera_info", infos)
    until_depth(robot)
    assert "incompatible" not in robot.process.stderr


def test_publishers_with_different_qos_on_one_topic(robot: Robot) -> None:
    """What matches all of them: nobody is left out."""
    robot.offer(RELIABLE, LATCHED)
    expect_qos(robot, "/graphs/image", RELIABLE)
    others = [
        robot.node.create_publisher(kind, topic, BEST_EFFORT)
        for kind, topic in ((Image, "image"), (CameraInfo, "camera_info"))
    ]
    try:
        expect_qos(robot, "/graphs/image", BEST_EFFORT)
        expect_qos(robot, "/graphs/camera_info", BEST_EFFORT)
        until_depth(robot)
        robot.images, reliable = others[0], robot.images
        until_depth(robot)
        robot.images = reliable
    finally:
        for other in others:
            robot.node.destroy_publisher(other)
    expect_qos(robot, "/graphs/image", RELIABLE)


def test_a_latched_camera_info_that_was_sent_before_the_node_started(start: Any) -> None:
    """The usual way of drivers that publish camera_info once; no word is needed."""
    process, peer = start("latched")
    peer.offer(BEST_EFFORT, LATCHED)
    info(peer, 5)
    peer.listen({DEPTH: Image})
    # The warning is due 2 s after the first image, however long discovery takes.
    expect_qos(peer, "/latched/camera_info", LATCHED)
    until_depth(peer, image)
    assert "no camera_info" not in process.stderr


def test_a_picture_that_was_published_once(start: Any) -> None:
    """image_publisher with a latched image: the only image must not wait for a next one."""
    _, peer = start("picture")
    peer.offer(LATCHED, LATCHED)
    info(peer, 5)
    image(peer, 7)
    peer.listen({DEPTH: Image})
    assert ros_messages.stamp_ns(peer.depth_of(7)) == 7


# camera_info


def test_a_camera_info_that_is_slower_than_the_images(robot: Robot) -> None:
    """One for every third image: every image comes out, after one warning."""
    robot.advertise()
    until_depth(robot)
    through(robot)
    before, sent = robot.settled(), []
    for number in range(15):
        stamp = robot.new_stamp()
        if number % 3 == 0:
            info(robot, stamp)
        sent.append(image(robot, stamp))
        # An image may wait for the next one, and be replaced by it; later each is used at once.
        recent = sent[-2:] if number < 6 else sent[-1:]
        robot.wait(lambda: any(robot.of_stamp(DEPTH, s) for s in recent), "its depth")  # noqa: B023
    after = robot.settled(before["received"] + 15)
    assert after["unmatched"] == before["unmatched"]
    assert after["received"] == before["received"] + 15
    robot.process.wait_for_line("the newest one is used")
    assert robot.process.stderr.count("the newest one is used") == 1


@pytest.mark.parametrize("stamped", ["zero info", "all zero"])
def test_stamps_of_zero(robot: Robot, stamped: str) -> None:
    """Drivers that leave the stamp of camera_info, or all stamps, empty."""
    robot.advertise()

    def send(robot: Robot) -> None:
        info(robot, 0)
        image(robot, 0 if stamped == "all zero" else None)

    until_depth(robot, send)


def test_a_camera_info_whose_publisher_has_died(robot: Robot) -> None:
    robot.advertise()
    until_depth(robot)
    robot.node.destroy_publisher(robot.infos)
    robot.infos = None
    robot.heard[DEPTH].clear()
    robot.repeat(lambda: image(robot), lambda: len(robot.heard[DEPTH]) > 4, "depth")


def test_cameras_of_two_sizes_on_one_topic(robot: Robot) -> None:
    """Two drivers that share their topics by mistake: each image with a camera_info of its size."""
    robot.advertise()
    until_depth(robot)
    rejected = robot.settled()["rejected"]
    small = street(0)[::2, ::2]
    for _ in range(3):
        robot.depth_of(robot.image())
        message = robot.depth_of(robot.send(small))
        assert (message.width, message.height) == (WIDTH // 2, HEIGHT // 2)
    assert robot.settled()["rejected"] == rejected


# Names


def test_names(start: Any) -> None:
    """As image_transport: one remapping of an image is enough. What is missing is named."""
    remaps = ("image:=/named/cam/image_raw", f"{DEPTH}:=/named/out/depth")
    process, peer = start("named", None, tuple(x for r in remaps for x in ("-r", r)))
    peer.listen({"/named/out/depth": Image, "/named/out/camera_info": CameraInfo})

    def expect(text: str) -> None:
        """Wait for a text in the status of the input."""
        peer.wait(lambda: text in getattr(peer.statuses.get("input"), "message", ""), text)

    other = peer.node.create_publisher(Image, "cam/image", RELIABLE)
    expect("/named/cam/image exists: remap image to /named/cam/image")
    peer.node.destroy_publisher(other)
    other = peer.node.create_publisher(CompressedImage, "cam/image_raw", RELIABLE)
    expect("of sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/Image: set image_transport to")
    peer.node.destroy_publisher(other)

    peer.advertise("/named/cam/image_raw", "/named/cam/left_info")
    peer.repeat(lambda: image(peer), lambda: "no camera_info on" in process.stderr, "a warning")
    line = process.wait_for_line("WARN.*no camera_info on")
    assert "/named/cam/camera_info" in line
    assert "/named/cam/left_info exists: remap camera_info to /named/cam/left_info" in line

    peer.advertise("/named/cam/image_raw", "/named/cam/camera_info")
    peer.repeat(
        lambda: both(peer),
        lambda: peer.heard["/named/out/depth"] and peer.heard["/named/out/camera_info"],
        "depth, and its camera_info beside it",
    )
    told = re.findall(r"\[(\d+\.\d+)\].*no camera_info on", process.stderr)
    gaps = np.diff(np.array(told, float))
    assert (gaps > 9).all(), "it must be throttled"


# Work that nobody needs; the last test, since it subscribes to a mask


def test_depth_alone_does_not_run_the_segmentation(robot: Robot) -> None:
    robot.advertise()
    until_depth(robot)
    robot.settled()
    assert "depth network (ms)" in robot.diagnostics
    assert "segmentation network (ms)" not in robot.diagnostics
    assert "dynamic share of the image" not in robot.diagnostics
    robot.listen({"mask/dynamic": Image})
    robot.repeat(lambda: both(robot), lambda: robot.heard["mask/dynamic"], "a mask")
    robot.wait(lambda: "segmentation network (ms)" in robot.diagnostics, "its time")
