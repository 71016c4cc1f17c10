# SPDX-License-Identifier: Apache-2.0
"""Points, odometry and compressed topics of a depth node process, over DDS."""

from __future__ import annotations

import array
import importlib.util
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy")

import ros_messages
import ros_processes as rp
from compressed_depth_reader import decoded
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from robot import DEPTH, HEIGHT, INFO, NODE, PARAMETERS, WIDTH, Robot, fleet, street
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

pytestmark = pytest.mark.ros

COMPRESSED, POINTS, ODOM = f"{DEPTH}/compressedDepth", "depth/points", "odom"
SCALED = {"publish_odom": True, "depth_scale": 1.0}
TF = Path(__file__).parent / "foreign" / "tf2"


class Outputs(Robot):
    """A robot that sends compressed images, and can restart its node."""

    def first(self, ready: Any) -> int:
        """Send one image until the node has processed it, and none is on its way; return its stamp.

        A visible subscription may not have discovered the publisher yet.
        """
        ends = self.images, self.infos
        self.wait(lambda: all(e.get_subscription_count() for e in ends), "the subscriptions")
        stamp = self.new_stamp(10**10)
        self.repeat(
            lambda: self.send(street(0), stamp=stamp),
            lambda: ready(stamp),
            "the first image's outcome",
            3.0,
        )
        return stamp

    def restart(self, **values: Any) -> None:
        """Set parameters that take effect at configure."""
        self.change_states(NODE, "deactivate", "cleanup")
        assert self.set_parameters(NODE, **values) == (True, "")
        self.change_states(NODE, "configure", "activate")

    def compressed(self, pixels: NDArray[Any], form: str, damage: bool = False) -> int:
        """Publish an RGB image as image_transport's CompressedImage; return the stamp."""
        stamp = self.new_stamp()
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        data = bytes(cv2.imencode(".png" if "png" in form else ".jpg", bgr)[1])
        message = CompressedImage(format=form)
        message.header.frame_id, message.header.stamp = "cam", ros_messages.stamp_of(stamp)
        message.data = array.array("B", data[: len(data) // 2] if damage else data)
        self.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp))
        self.images.publish(message)
        return stamp

    def compressed_until_heard(self, topic: str) -> None:
        self.heard[topic].clear()
        self.repeat(lambda: self.compressed(street(0), "png"), lambda: self.heard[topic], topic)


@pytest.fixture
def start() -> Iterator[Any]:
    """Start nodes; return the robot around each. All are killed at the end."""
    with fleet(Outputs) as starter:
        yield lambda *arguments, **options: starter(*arguments, **options)[1]


def points_of(message: PointCloud2) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return (H, W, 3) metres and (H, W, 3) RGB, read by the fields' offsets."""
    offsets = {field.name: field.offset for field in message.fields}
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.row_step)
    raw = rows.reshape(message.height, message.width, message.point_step)
    xyz = [raw[..., offsets[a] : offsets[a] + 4].copy().view("<f4")[..., 0] for a in "xyz"]
    at = offsets["rgb"]
    return np.stack(xyz, 2), raw[..., [at + 2, at + 1, at]]


def test_points_and_compressed_depth_are_those_of_the_depth_image(start: Any) -> None:
    robot = start("cloud")
    kinds = {DEPTH: Image, INFO: CameraInfo, COMPRESSED: CompressedImage, POINTS: PointCloud2}
    robot.begin(kinds, until=tuple(kinds))
    for every in (4, 3):
        assert robot.set_parameters(NODE, points_step=every) == (True, "")
        stamp = robot.send(street(1))
        depth, info = ros_messages.array_of(robot.of(DEPTH, stamp)), robot.of(INFO, stamp)
        message = robot.of(POINTS, stamp)
        assert message.header.frame_id == "cam"
        assert (message.width, message.height) == (-(-WIDTH // every), -(-HEIGHT // every))
        xyz, rgb = points_of(message)
        expected = depth[::every, ::every]
        known = np.isfinite(expected)
        assert 0.25 < known.mean() < 1
        assert not message.is_dense
        assert np.array_equal(xyz[known, 2], expected[known])
        assert np.isnan(xyz[~known]).all()
        # Without distortion a point keeps the colour of its pixel in the image that was sent.
        assert np.array_equal(rgb, street(1)[::every, ::every])
        v, u = np.nonzero(known)
        x, y, z = xyz[known].T.astype(float)
        assert np.allclose(info.k[0] * x / z + info.k[2], u * every, atol=1e-3)
        assert np.allclose(info.k[4] * y / z + info.k[5], v * every, atol=1e-3)
        # compressedDepth holds the same depth, rounded to steps of inverse depth.
        got = decoded(robot.of(COMPRESSED, stamp))
        known = np.isfinite(depth)
        assert np.array_equal(np.isfinite(got), known)
        a = struct.unpack_from("<iff", bytes(robot.of(COMPRESSED, stamp).data))[1]
        assert (np.abs(got - depth)[known] <= 0.52 * depth[known] ** 2 / a).all()
    changes = {"output_size": "network", "width": WIDTH, "depth_encoding": "16UC1"}
    assert robot.set_parameters(NODE, points_step=2, **changes) == (True, "")
    big = np.repeat(np.repeat(street(1), 2, axis=0), 2, axis=1)
    stamp = robot.send(big)
    millimetres = ros_messages.array_of(robot.of(DEPTH, stamp))
    assert np.array_equal(decoded(robot.of(COMPRESSED, stamp)), millimetres)
    message = robot.of(POINTS, stamp)
    assert (message.width, message.height) == (WIDTH // 2, HEIGHT // 2)
    xyz, rgb = points_of(message)
    # The mean of 2x2 pixels of the doubled image is the image.
    assert np.array_equal(rgb, street(1)[::2, ::2])
    known = np.isfinite(xyz[..., 2]) & (xyz[..., 2] < 65)
    assert np.allclose(xyz[known, 2] * 1000, millimetres[::2, ::2][known], atol=0.51)
    for value in (0, 65, -4):
        assert "points_step" in robot.refusal(NODE, points_step=value)
    robot.process.end()


# Odometry, and one depth scale on all topics


def position(message: Odometry) -> NDArray[np.float64]:
    p = message.pose.pose.position
    return np.array((p.x, p.y, p.z))


def drive(robot: Outputs, count: int = 6) -> tuple[list[Odometry], NDArray[Any], list[Any]]:
    """Send frames; return their odometry, the last depth, and all static translations."""
    for topic in robot.heard:
        robot.heard[topic].clear()
    path, statics = [], []
    for index in range(count):
        if index:
            stamp = robot.send(street(index))
        else:
            stamp = robot.first(lambda s: robot.of_stamp(ODOM, s) and robot.of_stamp(DEPTH, s))
        path.append(robot.of(ODOM, stamp))
        depth = ros_messages.array_of(robot.of(DEPTH, stamp))
        if index:
            t = robot.of("pose/static", stamp).transform.translation
            statics.append((t.x, t.y, t.z))
    return path, depth, statics


def test_odometry_and_the_declared_scale(start: Any) -> None:
    robot = start("odometry", SCALED | {"odom_frame": "fleet/odom"})
    topics = {DEPTH: Image, ODOM: Odometry, "pose/static": TransformStamped}
    robot.begin(topics, until=(DEPTH, ODOM))
    first = None
    for scale in (1.0, 2.0):
        # Restart at the origin: the images before only served discovery.
        robot.restart(depth_scale=scale)
        path, depth, statics = drive(robot)
        message = path[-1]
        assert message.header.frame_id == "fleet/odom"
        assert message.child_frame_id == "camera_link"
        positions = np.array([position(m) for m in path])
        # The street's camera drives straight ahead, along x of the first camera_link.
        assert not positions[0].any()
        assert (np.diff(positions[:, 0]) > 0.1).all()
        assert (np.abs(positions[:, 1:]) < 0.3 * positions[-1, 0] + 0.1).all()
        assert message.twist.twist.linear.x > 1
        covariances = np.array([np.reshape(m.pose.covariance, (6, 6)) for m in path])
        assert np.isfinite(covariances).all()
        # Uncertainty grows along a path, but not with every frame: a far partner skips some.
        grown = np.trace(covariances[:, :3, :3], axis1=1, axis2=2)
        assert grown[-1] > grown[1] > grown[0] == 0
        robot.settled()
        rows = robot.diagnostics
        assert (rows["scale state"], rows["in metres"]) == ("constant", "true")
        assert rows["scale factor"] == f"{scale:g}"
        if first is None:
            first = positions, depth, statics, covariances
            continue
        # All topics use the same unit.
        known = np.isfinite(depth) & np.isfinite(first[1])
        assert known.any()
        assert np.allclose(depth[known], 2 * first[1][known], rtol=1e-5)
        assert np.allclose(statics, 2 * np.array(first[2]), atol=0.02)
        assert np.allclose(positions, 2 * first[0], rtol=0.02, atol=0.02)
        assert grown[-1] == pytest.approx(4 * np.trace(first[3][-1][:3, :3]), rel=0.2)
    robot.process.end()


def test_odometry_without_a_subscriber_and_after_a_jump_back_in_time(start: Any) -> None:
    """A late subscriber gets the whole path; a replayed recording begins at the origin."""
    robot = start("alone", SCALED)
    robot.advertise()
    begin = robot.first(lambda _: robot.counts()["published"] > 0)
    for index in range(1, 4):
        before = robot.settled()["published"]
        robot.send(street(index), stamp=begin + index * 10**8)
        robot.wait(lambda n=before: robot.counts()["published"] > n, "the image's outcome")
    robot.listen({ODOM: Odometry})
    robot.listened(ODOM)
    stamp = robot.send(street(4), stamp=begin + 4 * 10**8)
    assert position(robot.of(ODOM, stamp))[0] > 0.5
    # After a gap without images the position stays and its covariance grows.
    stamp = robot.send(street(5), stamp=begin + 10 * 10**9)
    late = robot.of(ODOM, stamp)
    assert position(late)[0] > 0.5
    assert late.pose.covariance[0] > 100
    stamp = robot.send(street(0), stamp=begin - 10**9)
    again = robot.of(ODOM, stamp)
    assert not position(again).any()
    assert not any(again.pose.covariance)
    robot.new_stamp(2 * 10**10)
    robot.process.end()


def test_tf_equals_the_odometry(start: Any) -> None:
    """A stand-in for tf2_ros publishes what the node passes to its broadcaster."""
    path = os.pathsep.join(filter(None, (str(TF), os.environ.get("PYTHONPATH", ""))))
    robot = start("tf", SCALED | {"publish_tf": True}, forked=False, PYTHONPATH=path)
    topics = {ODOM: Odometry, "/tf_stand_in": TransformStamped}
    robot.begin(topics, until=tuple(topics))
    for index in (1, 2):
        stamp = robot.send(street(index))
        odometry, tf = robot.of(ODOM, stamp), robot.of("/tf_stand_in", stamp)
        assert tf.header == odometry.header
        assert tf.child_frame_id == odometry.child_frame_id == "camera_link"
        t, q = tf.transform.translation, tf.transform.rotation
        assert np.array_equal((t.x, t.y, t.z), position(odometry))
        assert q == odometry.pose.pose.orientation
        assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1)
    robot.process.end()


BAD_STARTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no scale": ({"publish_odom": True}, ("publish_odom", "depth_scale")),
    "scale": ({"depth_scale": -2.0}, ("depth_scale", "-2.0")),
    "huge scale": ({"depth_scale": 1e9}, ("depth_scale", "1000")),
    "estimator": (SCALED | {"pose_estimator": "epipolar"}, ("publish_odom", "pnp", "epipolar")),
    "tf alone": ({"publish_tf": True}, ("publish_tf", "publish_odom")),
    "frames": (SCALED | {"odom_child_frame": "odom"}, ("odom_frame", "odom_child_frame")),
    "transport": ({"image_transport": "theora"}, ("image_transport", "theora", "compressed")),
    "points": ({"points_step": 0}, ("points_step", "1")),
}


def test_bad_parameters_end_the_node_with_status_1_and_the_reason() -> None:
    starts = ((parameters, (), words) for parameters, words in BAD_STARTS.values())
    rp.assert_all_fail("depth_node", starts)


def test_tf_without_tf2_ros_is_a_configure_that_fails() -> None:
    if importlib.util.find_spec("tf2_ros"):
        pytest.skip("tf2_ros is here")
    values = PARAMETERS | SCALED | {"publish_tf": True}
    rp.assert_all_fail(NODE, [(values, (), ("publish_tf needs tf2_ros", "workspace"))])


# Compressed images as input


def test_compressed_images(start: Any) -> None:
    robot = start("packed", {"image_transport": "compressed"})
    robot.listen({DEPTH: Image})
    robot.advertise("image/compressed", kind=CompressedImage)
    robot.compressed_until_heard(DEPTH)
    png = ros_messages.array_of(
        robot.of(DEPTH, robot.compressed(street(0), "rgb8; png compressed bgr8"))
    )
    for form in ("jpeg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8"):
        depth = ros_messages.array_of(robot.of(DEPTH, robot.compressed(street(0), form)))
        known = np.isfinite(depth) & np.isfinite(png)
        assert known.mean() > 0.25
        assert np.median(np.abs(depth[known] / png[known] - 1)) < 0.02
    # A damaged image is rejected with the reason, and the next one is processed.
    before = robot.settled()
    robot.compressed(street(0), "jpeg", damage=True)
    after = robot.settled(before["received"] + 1)
    assert after["rejected"] == before["rejected"] + 1
    assert "truncated" in robot.diagnostics["last rejection"]
    robot.process.wait_for_line("ERROR.*truncated")
    robot.of(DEPTH, robot.compressed(street(0), "png"))
    # PNG is lossless: the raw image gives the same depth.
    robot.restart(image_transport="raw")
    robot.advertise()
    robot.send_until_heard(street(0), [DEPTH])
    raw = ros_messages.array_of(robot.of(DEPTH, robot.send(street(0))))
    assert np.array_equal(raw, png, equal_nan=True)
    robot.process.end()


def test_remapped_images_with_image_transport(start: Any) -> None:
    """The compressed topic is the remapped `image` plus the transport's name."""
    arguments = ("-r", "image:=front/image_raw", "-r", f"{DEPTH}:=/shared/depth")
    robot = start("renamed", {"image_transport": "compressed"}, arguments)
    robot.listen({"/shared/depth/compressedDepth": CompressedImage})
    robot.advertise("front/image_raw/compressed", "front/camera_info", kind=CompressedImage)
    robot.compressed_until_heard("/shared/depth/compressedDepth")
    assert not robot.node.get_subscriptions_info_by_topic("/renamed/front/image_raw")
    robot.process.end()
