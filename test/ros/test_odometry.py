# SPDX-License-Identifier: Apache-2.0
"""Odometry messages: axes and covariances, as REP 103 and geometry_msgs define them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="odometry is a ROS message")

from ros_messages import rotation_of
from std_msgs.msg import Header
from steps import Float, alone, estimate, paired, rigid

from depth_recog.method.trajectory import Place
from depth_recog.nodes.io.odometry import Odometry, to_message, transform

TENTH = 10**8
OPTICAL = np.array(((0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0))).T
"""Columns: the optical axes right, down, forward in axes forward, left, up."""


def header(stamp: int = 0, frame: str = "cam_optical") -> Header:
    result = Header(frame_id=frame)
    result.stamp.sec, result.stamp.nanosec = divmod(stamp, 10**9)
    return result


def pose_of(message: Any) -> Float:
    p = message.pose.pose.position
    result = np.eye(4)
    result[:3, :3] = rotation_of(message.pose.pose.orientation)
    result[:3, 3] = p.x, p.y, p.z
    return result


def driven(odometry: Odometry, *motions: tuple[object, object]) -> Any:
    """Return the last message of a camera that turns and moves, in optical axes, in 0.1 s each."""
    message = odometry.message(alone(0), header(0), 1.0)
    for i, (turn, move) in enumerate(motions):
        first, second = i * TENTH, (i + 1) * TENTH
        pose = estimate(np.linalg.inv(rigid(turn, move)), np.eye(6) * 1e-4)
        message = odometry.message(paired(first, second, pose), header(second), 1.0)
    return message


def test_the_first_image_is_the_origin() -> None:
    message = Odometry("map_less", "camera_link").message(alone(5), header(5), 1.0)
    assert (message.header.frame_id, message.child_frame_id) == ("map_less", "camera_link")
    assert message.header.stamp.nanosec == 5
    np.testing.assert_allclose(pose_of(message), np.eye(4), atol=1e-9)
    assert not any(message.pose.covariance)


@pytest.mark.parametrize(
    ("turn", "move", "position", "yaw_pitch"),
    [
        ((0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 0)),  # ahead
        ((0, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0)),  # to the left
        ((0, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0)),  # up
        ((0, -0.3, 0), (0, 0, 0), (0, 0, 0), (0.3, 0)),  # about the optical y: a turn to the left
        ((-0.2, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0.2)),  # about the optical x: nose down
    ],
)
def test_axes_are_forward_left_and_up(
    turn: Float, move: Float, position: Float, yaw_pitch: Float
) -> None:
    message = driven(Odometry("odom", "camera_link"), (turn, move))
    pose = pose_of(message)
    np.testing.assert_allclose(pose[:3, 3], position, atol=1e-9)
    yaw, pitch = yaw_pitch
    # A point straight ahead of the camera.
    ahead = pose[:3, :3] @ (1, 0, 0)
    if yaw:
        np.testing.assert_allclose(ahead, (np.cos(yaw), np.sin(yaw), 0), atol=1e-9)
    # The optical x axis points right: a positive turn about it lifts the nose.
    if pitch:
        np.testing.assert_allclose(ahead, (np.cos(pitch), 0, -np.sin(pitch)), atol=1e-9)
    twist = message.twist.twist
    linear, angular = twist.linear, twist.angular
    got = (linear.x, linear.y, linear.z)
    np.testing.assert_allclose(got, np.multiply(position, 10), atol=1e-9)
    got = (angular.x, angular.y, angular.z)
    np.testing.assert_allclose(got, (0, pitch * 10, yaw * 10), atol=1e-9)


def test_the_velocity_is_in_the_axes_of_the_child() -> None:
    """After a quarter turn to the left the camera drives on straight ahead."""
    quarter, ahead = ((0, -np.pi / 2, 0), (0, 0, 0)), ((0, 0, 0), (0, 0, 2))
    message = driven(Odometry("odom", "camera_link"), quarter, ahead)
    np.testing.assert_allclose(pose_of(message)[:3, 3], (0, 2, 0), atol=1e-9)
    assert message.twist.twist.linear.x == pytest.approx(20)
    assert message.twist.twist.linear.y == pytest.approx(0, abs=1e-9)


def test_the_optical_frame_as_child_keeps_its_axes() -> None:
    message = driven(Odometry("odom", "cam_optical"), ((0, 0, 0), (0, 0, 1)))
    pose = pose_of(message)
    np.testing.assert_allclose(pose[:3, 3], (1, 0, 0), atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3], OPTICAL, atol=1e-9)
    assert message.twist.twist.linear.z == pytest.approx(10)


@pytest.mark.parametrize("child", ["camera_link", "cam_optical"])
def test_covariances_have_the_order_and_axes_of_ros(child: str) -> None:
    """Order (x, y, z, rotations about x, y, z); pose in odometry axes, twist in child axes.

    By draws: each perturbed place goes through the same message.
    """
    rng = np.random.default_rng(2)
    axes = np.eye(3) if child == "cam_optical" else OPTICAL
    root = (np.eye(6) + 0.4 * rng.normal(0, 1, (6, 6))) * 1e-3
    covariance = root @ root.T
    T = rigid((0.3, -0.5, 0.2), (1, 2, 3))
    twist = np.array((0.1, 0.2, 0.3, 1.0, 2.0, 3.0))

    def message(off: Float) -> Any:
        pose = rigid(off[:3], (0, 0, 0)) @ T
        pose[:3, 3] = T[:3, 3] + off[3:]
        place = Place(pose, covariance, twist + off, covariance)
        return to_message(place, axes, header(), "odom", child)

    exact = message(np.zeros(6))
    poses, twists = [], []
    for _ in range(4000):
        got = message(root @ rng.normal(0, 1, 6))
        there, here = pose_of(got), pose_of(exact)
        turned = cv2.Rodrigues(there[:3, :3] @ here[:3, :3].T)[0][:, 0]
        poses.append(np.concatenate((there[:3, 3] - here[:3, 3], turned)))
        linear, angular = got.twist.twist.linear, got.twist.twist.angular
        twists.append((linear.x, linear.y, linear.z, angular.x, angular.y, angular.z))
    for claimed, drawn in ((exact.pose, poses), (exact.twist, twists)):
        matrix = np.array(claimed.covariance).reshape(6, 6)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-15)
        white = np.linalg.inv(np.linalg.cholesky(matrix))
        np.testing.assert_allclose(white @ np.cov(np.array(drawn).T) @ white.T, np.eye(6), atol=0.1)


def test_the_transform_is_the_pose() -> None:
    message = driven(Odometry("odom", "camera_link"), ((0, -0.3, 0), (0.1, 0.2, 1)))
    got = transform(message)
    assert got.header == message.header
    assert got.child_frame_id == "camera_link"
    p, t = message.pose.pose.position, got.transform.translation
    assert (t.x, t.y, t.z) == (p.x, p.y, p.z)
    assert got.transform.rotation == message.pose.pose.orientation


def test_another_scale_starts_another_path() -> None:
    odometry = Odometry("odom", "camera_link")
    ahead = (0, 0, 0), (0, 0, 2)
    gone = driven(odometry, ahead)
    assert pose_of(gone)[0, 3] == pytest.approx(2)
    step = paired(TENTH, 2 * TENTH, estimate(np.linalg.inv(rigid(*ahead)), np.eye(6)))
    again = odometry.message(step, header(2 * TENTH), 2.0)
    np.testing.assert_allclose(pose_of(again), np.eye(4), atol=1e-9)
