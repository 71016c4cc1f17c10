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
    from cv_bridge import CvBridge
    from sensor_msgs.msg import Image

    # A trial: its compiled half may be missing, or be built for another NumPy, and only a
    # conversion shows that.
    CvBridge().imgmsg_to_cv2(
        Image(height=1, width=1, encoding="bgr8", step=3, data=[0] * 3), "rgb8"
    )
except Exception:
    CvBridge = None

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


def _with_cv_bridge(message: Any) -> NDArray[np.uint8]:
    # The checks come first: cv_bridge answers a short or padded message with a numpy traceback.
    image_codec.raw_view(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.data,
        bool(message.is_bigendian),
    )
    # mono16 and the raw types have no colour conversion there, or one that scales differently.
    if message.encoding in ("mono16", "8UC1", "8UC3"):
        return _with_numpy(message)
    return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))


CHOICES: dict[str, ImageToRgb] = {"numpy": _with_numpy}
if CvBridge is not None:
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
