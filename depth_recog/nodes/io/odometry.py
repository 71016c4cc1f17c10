# SPDX-License-Identifier: Apache-2.0
"""Convert the ego-motion to nav_msgs/Odometry, with the frames of REP 103 and REP 105."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, TransformStamped
from nav_msgs.msg import Odometry as OdometryMessage
from numpy.typing import NDArray
from std_msgs.msg import Header

from depth_recog.interfaces.pose import quaternion
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pair import Step
from depth_recog.method.trajectory import Place, Trajectory

_FORWARD_FROM_OPTICAL = np.array(((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))
"""Rotation from optical axes (x right, y down, z forward) to x forward, y left, z up."""


class Odometry:
    """Accumulates the ego-motion over all frames of a stream.

    The odometry frame is the camera's pose at the first image, with axes x forward, y left, z up
    relative to the camera; if the camera is tilted, so is the frame. The child frame is at the
    camera with such axes too. If it is named like the images' optical frame, it has optical axes.
    """

    def __init__(self, frame: str, child: str) -> None:
        self._frame = frame
        self._child = child
        self._trajectory = Trajectory()
        self._scale: float | None = None

    def reset(self) -> None:
        """Begin a new trajectory, at the origin, with the next frame."""
        self._scale = None

    def message(self, step: Step, header: Header, scale: float) -> OdometryMessage:
        """The odometry at the newest frame.

        It must be called for every frame of the stream, in order. If `scale` changes, the unit of
        the trajectory changes, so a new trajectory starts at the origin.

        Args:
            step: the results for the newest frame.
            header: of its image.
            scale: the parameter `depth_scale`.
        """
        if scale != self._scale:
            self._trajectory, self._scale = Trajectory(), scale
        optical = self._child == header.frame_id
        axes = np.eye(3) if optical else _FORWARD_FROM_OPTICAL
        return to_message(self._trajectory.add(step), axes, header, self._frame, self._child)


def to_message(
    place: Place, child_from_optical: Matrix, header: Header, frame: str, child: str
) -> OdometryMessage:
    """An odometry message.

    Args:
        place: pose and velocity of the camera, in optical axes.
        child_from_optical: (3, 3) rotation to the child frame, which has the same origin.
        header: of the image.
        frame: name of the odometry frame.
        child: name of the child frame.
    """
    rotation = place.T_first_from_frame[:3, :3]
    message = OdometryMessage(child_frame_id=child)
    message.header.stamp = header.stamp
    message.header.frame_id = frame
    position = _FORWARD_FROM_OPTICAL @ place.T_first_from_frame[:3, 3]
    message.pose.pose.position = Point(**dict(zip("xyz", position.tolist(), strict=True)))
    turned = _FORWARD_FROM_OPTICAL @ rotation @ child_from_optical.T
    q = message.pose.pose.orientation
    q.x, q.y, q.z, q.w = quaternion(turned)
    message.pose.covariance = _covariance(place.covariance, _FORWARD_FROM_OPTICAL)
    angular, linear = child_from_optical @ place.twist[:3], child_from_optical @ place.twist[3:]
    twist = message.twist.twist
    twist.linear.x, twist.linear.y, twist.linear.z = linear.tolist()
    twist.angular.x, twist.angular.y, twist.angular.z = angular.tolist()
    message.twist.covariance = _covariance(place.twist_covariance, child_from_optical)
    return message


def _covariance(values: NDArray[np.float64], to_axes: Matrix) -> list[float]:
    """(6, 6) covariance of (rotation, translation) to ROS's (translation, rotation), row-major."""
    zero = np.zeros((3, 3))
    swapped = np.block([[zero, to_axes], [to_axes, zero]])
    rows: list[float] = (swapped @ values @ swapped.T).reshape(-1).tolist()
    return rows


def transform(message: OdometryMessage) -> TransformStamped:
    """The odometry's pose as a transform for tf."""
    result = TransformStamped(header=message.header, child_frame_id=message.child_frame_id)
    p = message.pose.pose.position
    t = result.transform.translation
    t.x, t.y, t.z = p.x, p.y, p.z
    result.transform.rotation = message.pose.pose.orientation
    return result
