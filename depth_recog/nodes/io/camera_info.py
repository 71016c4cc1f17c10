# SPDX-License-Identifier: Apache-2.0
"""rclpy's CameraInfo: read and made."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from depth_recog.interfaces.camera_info import CameraCalibration, fields, from_message, identity
from depth_recog.method.geometry.camera import Camera

__all__ = ["CameraCalibration", "from_message", "identity", "to_message"]


def to_message(camera: Camera, header: Header) -> CameraInfo:
    """A CameraInfo for an image of this camera: same stamp and frame, no region of interest."""
    return CameraInfo(header=header, **fields(camera))
