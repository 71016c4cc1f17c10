# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the outputs are ROS messages")

from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.outputs import known


def test_a_missing_pose_is_nan_and_not_the_identity() -> None:
    """The identity would mean that the camera is at rest."""
    assert np.isnan(known(PoseEstimate(why="too dark"))).all()
    assert np.array_equal(known(PoseEstimate(ok=True)), np.eye(4))


@pytest.mark.parametrize(("sec", "nanosec"), [(0, 0), (-5, 7), (1_795_344_131, 999_999_999)])
def test_any_stamp_has_nanoseconds(sec: int, nanosec: int) -> None:
    from std_msgs.msg import Header

    header = Header()
    header.stamp.sec, header.stamp.nanosec = sec, nanosec
    assert messages.stamp_ns(header) == sec * 10**9 + nanosec


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 3.14])
def test_quaternions_are_the_rotations(angle: float) -> None:
    import cv2

    axis = np.array([0.6, -0.8, 0.0]) * angle
    x, y, z, w = messages.quaternion(cv2.Rodrigues(axis)[0])
    assert (x, y, z) == pytest.approx(
        tuple(np.array([0.6, -0.8, 0.0]) * np.sin(angle / 2)), abs=1e-15
    )
    assert w == pytest.approx(np.cos(angle / 2), abs=1e-15)
