# SPDX-License-Identifier: Apache-2.0
"""The seam between the two installations: cv_bridge and tf2_ros in a workspace, numpy with pip.

Whatever is chosen behaves the same; the contract tests run on whichever is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.interfaces import image_codec

try:
    from cv_bridge import CvBridge, CvBridgeError
    from sensor_msgs.msg import Image

    # A trial: its compiled half may be missing, or be built for another NumPy, and only a
    # conversion shows that.
    _BRIDGE = CvBridge()
    _BRIDGE.imgmsg_to_cv2(Image(height=1, width=1, encoding="bgr8", step=3, data=[0] * 3), "rgb8")
except Exception:
    _BRIDGE = None

ImageToRgb = Callable[[Any], NDArray[np.uint8]]


def _with_numpy(message: Any) -> NDArray[np.uint8]:
    return image_codec.to_rgb(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.data,
        bool(message.is_bigendian),
    )


# What cv_bridge converts to rgb8 as we do. It scales mono16 differently, has no colour conversion
# for the raw types, and does not know uyvy and yuyv.
_CV_BRIDGES = {
    "mono8",
    *("rgb8", "bgr8", "rgba8", "bgra8"),
    *("yuv422", "yuv422_yuy2"),
    *(f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")),
}


def _with_cv_bridge(message: Any) -> NDArray[np.uint8]:
    # The checks come first: cv_bridge answers a short message with a numpy traceback.
    values = image_codec.raw_view(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.data,
        bool(message.is_bigendian),
    )
    # cv_bridge shears rows that are not a whole number of pixels long, and its byte swap, which it
    # does for bytes too, is gone from NumPy 2.
    pixel = values.nbytes // (message.height * message.width)
    ours = message.encoding not in _CV_BRIDGES or message.step % pixel or message.is_bigendian
    if ours:
        return _with_numpy(message)
    try:
        return np.ascontiguousarray(_BRIDGE.imgmsg_to_cv2(message, "rgb8"))
    except CvBridgeError:
        return _with_numpy(message)


CHOICES: dict[str, ImageToRgb] = {"numpy": _with_numpy}
if _BRIDGE is not None:
    CHOICES["cv_bridge"] = _with_cv_bridge

CHOSEN = "cv_bridge" if "cv_bridge" in CHOICES else "numpy"


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/Image's pixels, (H, W, 3) uint8 RGB. Raises EncodingError."""
    return CHOICES[CHOSEN](message)


def transform_broadcaster(node: Any) -> Any:
    """A tf2_ros.TransformBroadcaster.

    Raises:
        ConfigurationError: tf2_ros is not here: the wheels have none.
    """
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError as error:
        raise ConfigurationError(
            f"publish_tf needs tf2_ros ({error}), which is not among the pip wheels: use a ROS "
            "workspace, or set publish_tf to false and make the transform of the odom topic"
        ) from error
    return TransformBroadcaster(node)
