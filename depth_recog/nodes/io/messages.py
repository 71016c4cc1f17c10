# SPDX-License-Identifier: Apache-2.0
"""Arrays to ROS messages."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray, Header, MultiArrayDimension

from depth_recog.interfaces.pose import quaternion

if TYPE_CHECKING:
    from depth_recog.method.geometry.se3 import Matrix


def stamp_ns(header: Header) -> int:
    """Nanoseconds of a stamp; rclpy's Time raises for a negative one, and would end the node."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def image(pixels: NDArray[np.generic], encoding: str, header: Header) -> Image:
    """A sensor_msgs/Image of an (H, W) or (H, W, C) array.

    The bytes go through an `array.array`: assigning an ndarray to `data` makes rclpy check every
    byte on its own, 0.2 to 0.5 s for a 720p depth image.
    """
    contiguous = np.ascontiguousarray(pixels)
    message = Image()
    message.header = header
    message.height, message.width = contiguous.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = contiguous.strides[0]
    data = array.array("B")
    data.frombytes(memoryview(contiguous).cast("B"))
    message.data = data
    return message


def depth_image(depth: NDArray[np.float32], encoding: str, header: Header) -> Image:
    """A depth image as REP 118 has it.

    Args:
        depth: (H, W) float32 metres, NaN invalid, +inf beyond range.
        encoding: 32FC1 (as it is) or 16UC1 (millimetres, 0 invalid or beyond range).
        header: of the input image.
    """
    if encoding == "32FC1":
        return image(depth, encoding, header)
    return image(millimetres(depth), "16UC1", header)


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) float32 metres to millimetres, 0 invalid, beyond range or beyond 16 bits."""
    values = np.where(np.isfinite(depth) & (depth < 65.535), depth * 1000, 0)
    return np.rint(values).astype(np.uint16)


def matrix(values: Matrix) -> Float64MultiArray:
    """A labelled 4x4 matrix, row by row."""
    message = Float64MultiArray()
    message.layout.dim = [
        MultiArrayDimension(label="row", size=4, stride=16),
        MultiArrayDimension(label="column", size=4, stride=4),
    ]
    message.data = array.array("d", values.reshape(-1).tolist())
    return message


def transform(T_second_from_first: Matrix, header: Header) -> TransformStamped:
    """The motion between two frames.

    Parent: the camera's optical frame when the second image was taken (`header`); child: the same
    frame when the first one was, named FRAME/first. As with every transform, a point of the child
    is taken to the parent.
    """
    message = TransformStamped()
    message.header = header
    message.child_frame_id = f"{header.frame_id}/first"
    x, y, z = T_second_from_first[:3, 3]
    message.transform.translation.x = float(x)
    message.transform.translation.y = float(y)
    message.transform.translation.z = float(z)
    rotation = message.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion(T_second_from_first[:3, :3])
    return message
