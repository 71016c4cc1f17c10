# SPDX-License-Identifier: Apache-2.0
"""ROS messages, made and read without the package under test."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image


def stamp_of(ns: int) -> Time:
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def image_message(
    data: bytes | NDArray[Any],
    encoding: str,
    stamp: int,
    size: tuple[int, int] | None = None,
    step: int | None = None,
    frame: str = "cam",
) -> Image:
    """Make an image of an (H, W[, C]) array, or of bytes with (width, height) and step."""
    message = Image(encoding=encoding)
    message.header.frame_id = frame
    message.header.stamp = stamp_of(stamp)
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data)
        message.height, message.width = data.shape[:2]
        message.step = data.strides[0] if step is None else step
        message.data = array.array("B", data.tobytes())
    else:
        assert size is not None
        assert step is not None
        message.width, message.height = size
        message.step = step
        message.data = array.array("B", data)
    return message


def info_message(
    size: tuple[int, int], stamp: int, focal: float | None = None, frame: str = "cam"
) -> CameraInfo:
    """Make a CameraInfo without distortion; the default focal length is 0.58 of the width."""
    width, height = size
    f = 0.58 * width if focal is None else focal
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    message.header.frame_id = frame
    message.header.stamp = stamp_of(stamp)
    message.d = [0.0] * 5
    message.k = [f, 0.0, width / 2, 0.0, f, height / 2, 0.0, 0.0, 1.0]
    message.r = np.eye(3).reshape(-1).tolist()
    message.p = [f, 0.0, width / 2, 0.0, 0.0, f, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def rotation_of(quaternion: Quaternion) -> NDArray[np.float64]:
    """Return the (3, 3) matrix of a unit quaternion."""
    x, y, z, w = quaternion.x, quaternion.y, quaternion.z, quaternion.w
    assert math.isclose(math.hypot(x, y, z, w), 1, rel_tol=1e-6)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def array_of(message: Image) -> NDArray[Any]:
    """Return (H, W) of a single-channel or (H, W, 3) of a colour image."""
    kinds = {"32FC1": ("<f4", 1), "16UC1": ("<u2", 1), "mono8": ("u1", 1), "rgb8": ("u1", 3)}
    kind, channels = kinds[message.encoding]
    item = np.dtype(kind).itemsize
    assert not message.is_bigendian
    assert message.step >= message.width * channels * item
    assert len(message.data) == message.step * message.height
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    values = np.ascontiguousarray(rows[:, : message.width * channels * item]).view(kind)
    shape = (message.height, message.width)
    return values.reshape(shape if channels == 1 else (*shape, channels))
