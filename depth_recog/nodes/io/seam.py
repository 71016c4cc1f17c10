# SPDX-License-Identifier: Apache-2.0
"""Use packages that a ROS workspace has and the pip wheels lack: cv_bridge, tf2_ros, vision_msgs.

Numpy code stands in for cv_bridge; what the others are needed for is not there without them.
test/ros/test_seam_contract.py runs the same tests with each implementation that is installed.
`depth-recog doctor` imports this module without ROS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.interfaces import image_codec
from depth_recog.interfaces.bit_depth import FULL_RANGE, BitDepth

if TYPE_CHECKING:
    from rclpy.node import Node

_BRIDGE: Any = None
try:
    from cv_bridge import CvBridge, CvBridgeError
    from sensor_msgs.msg import Image

    # Convert one pixel: its compiled half may be missing or built for another NumPy version, which
    # the import alone does not show.
    _BRIDGE = CvBridge()
    _BRIDGE.imgmsg_to_cv2(Image(height=1, width=1, encoding="bgr8", step=3, data=[0] * 3), "rgb8")
except Exception:
    _BRIDGE = None

ImageToRgb = Callable[..., NDArray[np.uint8]]
"""Arguments as of `image_to_rgb`."""


def _with_numpy(message: Any, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    return image_codec.message_to_rgb(message, bits)


# Encodings that cv_bridge converts to rgb8 exactly as image_codec does. It takes 16-bit images to
# have 16 significant bits, does not convert the colours of the raw types, and does not know uyvy
# and yuyv.
_CV_BRIDGES = {
    "mono8",
    *("rgb8", "bgr8", "rgba8", "bgra8"),
    *("yuv422", "yuv422_yuy2"),
    *(f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")),
}


def _with_cv_bridge(message: Any, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    # Check the message first: if it is too short, cv_bridge raises a numpy error.
    values = image_codec.raw_view(*image_codec.contents(message))
    # cv_bridge shears images whose rows are not a whole number of pixels long, and swaps bytes with
    # a function that NumPy 2 has removed.
    pixel = values.nbytes // (message.height * message.width)
    if message.encoding not in _CV_BRIDGES or message.step % pixel or message.is_bigendian:
        return _with_numpy(message, bits)
    try:
        return np.ascontiguousarray(_BRIDGE.imgmsg_to_cv2(message, "rgb8"))
    except CvBridgeError:
        return _with_numpy(message, bits)


CHOICES: dict[str, ImageToRgb] = {"numpy": _with_numpy}
if _BRIDGE is not None:
    CHOICES["cv_bridge"] = _with_cv_bridge

CHOSEN = "cv_bridge" if "cv_bridge" in CHOICES else "numpy"


def image_to_rgb(message: Any, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image; `bits` of 16-bit ones. Raises EncodingError."""
    return CHOICES[CHOSEN](message, bits)


def vision_messages() -> Any:
    """The module vision_msgs.msg; None if the package is not installed."""
    try:
        from vision_msgs import msg
    except ImportError:
        return None
    return msg


def transform_messages() -> Any:
    """The module tf2_msgs.msg; None if the package is not installed."""
    try:
        from tf2_msgs import msg
    except ImportError:
        return None
    return msg


def offer_trigger(node: Node, name: str, answer: Callable[[Any, Any], Any]) -> None:
    """Offer a service of type std_srvs/Trigger, unless std_srvs is not installed."""
    try:
        from std_srvs.srv import Trigger
    except ImportError:
        text = f"no service {name}: std_srvs is not installed; pip install ros-jazzy-std-srvs"
        node.get_logger().warning(text)
        return
    node.create_service(Trigger, name, answer)


def transform_broadcaster(node: Node) -> Any:
    """A tf2_ros.TransformBroadcaster.

    Raises:
        ConfigurationError: tf2_ros is not installed; the pip wheels do not have it.
    """
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError as error:
        raise ConfigurationError(
            f"publish_tf needs tf2_ros ({error}), which the pip wheels do not have: use a ROS "
            "workspace, or set publish_tf to false and compute the transform from the odom topic"
        ) from error
    return TransformBroadcaster(node)
