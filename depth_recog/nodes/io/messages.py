# SPDX-License-Identifier: Apache-2.0
"""Convert ROS messages to arrays, and arrays to ROS messages."""

from __future__ import annotations

import array

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64MultiArray, Header, MultiArrayDimension

from depth_recog import limits
from depth_recog.errors import EncodingError
from depth_recog.interfaces import compressed_image
from depth_recog.interfaces.bit_depth import FULL_RANGE, BitDepth
from depth_recog.interfaces.camera_info import fields
from depth_recog.interfaces.pose import quaternion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.nodes.io.seam import image_to_rgb


def stamp_ns(header: Header) -> int:
    """Nanoseconds of a stamp. rclpy's Time would raise an exception for a negative one."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def check_lengths(message: Image | CompressedImage) -> None:
    """Refuse an image that is too large or has too long texts. Raises EncodingError."""
    if isinstance(message, Image) and message.width * message.height > limits.IMAGE_PIXELS:
        size = f"{message.width}x{message.height}"
        raise EncodingError(
            f"image of {size} pixels: more than {limits.IMAGE_PIXELS} are not taken"
        )
    form = message.encoding if isinstance(message, Image) else message.format
    for field, text in (("frame_id", message.header.frame_id), ("encoding", form)):
        if len(text) > limits.FRAME_CHARACTERS:
            raise EncodingError(
                f"its {field} has {len(text)} characters, more than {limits.FRAME_CHARACTERS}: "
                "check the camera's driver"
            )


def size_of(message: Image | CompressedImage) -> tuple[int, int]:
    """(width, height) that an image message states, without decoding. Raises EncodingError."""
    if isinstance(message, Image):
        if not message.width or not message.height:
            raise EncodingError(
                f"image of {message.width}x{message.height} pixels is empty: check the camera's "
                "driver"
            )
        return message.width, message.height
    return compressed_image.size_of(message.data)


def to_rgb(message: Image | CompressedImage, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image message; `bits` of 16-bit ones. Raises EncodingError."""
    if isinstance(message, CompressedImage):
        return compressed_image.to_rgb(message.format, message.data, bits)
    return image_to_rgb(message, bits)


def camera_info(
    camera: Camera, header: Header, baseline: tuple[float, float] = (0.0, 0.0)
) -> CameraInfo:
    """A CameraInfo with the stamp and frame of an image of this camera; no region of interest."""
    return CameraInfo(header=header, **fields(camera, baseline))


def bytes_of(values: NDArray[np.generic]) -> array.array[int]:
    """The bytes of an array, in C order, for the `data` of a message.

    If an ndarray is assigned to `data`, rclpy checks each byte on its own, which takes 0.2 to 0.5 s
    for a 720p depth image. It takes an `array.array` as it is.
    """
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data


def image(pixels: NDArray[np.generic], encoding: str, header: Header) -> Image:
    """A sensor_msgs/Image of an (H, W) or (H, W, C) array."""
    contiguous = np.ascontiguousarray(pixels)
    height, width = contiguous.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=0)
    message.step, message.data = contiguous.strides[0], bytes_of(contiguous)
    return message


def depth_image(depth: NDArray[np.float32], encoding: str, header: Header) -> Image:
    """A depth image as defined in REP 118.

    Args:
        depth: (H, W) float32 metres, NaN invalid, -inf and +inf out of range.
        encoding: 32FC1 (unchanged) or 16UC1 (millimetres, 0 invalid or out of range).
        header: of the input image.
    """
    if encoding == "32FC1":
        return image(depth, encoding, header)
    return image(millimetres(depth), "16UC1", header)


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) float32 metres to millimetres; 0 for invalid, out of range or above 65.535 m."""
    values = np.where(np.isfinite(depth) & (depth < 65.535), depth * 1000, 0)
    return np.rint(values).astype(np.uint16)


def matrix(values: Matrix) -> Float64MultiArray:
    """A 4x4 matrix in row-major order, with labelled dimensions."""
    message = Float64MultiArray()
    message.layout.dim = [
        MultiArrayDimension(label="row", size=4, stride=16),
        MultiArrayDimension(label="column", size=4, stride=4),
    ]
    message.data = array.array("d", values.reshape(-1).tolist())
    return message


def transform(T_second_from_first: Matrix, header: Header) -> TransformStamped:
    """The camera's motion between two frames.

    The parent frame is the camera's optical frame at the second image (`header`); the child frame,
    named FRAME/first, is the optical frame at the first image. As with every ROS transform, it maps
    points of the child frame to the parent frame.
    """
    message = TransformStamped(header=header, child_frame_id=f"{header.frame_id}/first")
    rotation, moved = message.transform.rotation, message.transform.translation
    moved.x, moved.y, moved.z = T_second_from_first[:3, 3].tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion(T_second_from_first[:3, :3])
    return message
