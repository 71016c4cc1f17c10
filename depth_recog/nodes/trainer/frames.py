# SPDX-License-Identifier: Apache-2.0
"""Turn image messages, with CameraInfo and odometry, into the adapter's frames."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from depth_recog.adaptation.frame import LiveFrame
from depth_recog.interfaces import camera_info, pose
from depth_recog.interfaces.bit_depth import BitDepth
from depth_recog.method.geometry.viewport import Viewport, check_size, network_size
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.inputs import Job
from depth_recog.nodes.runtime.allowance import Allowance

_OPTICAL_FROM_FORWARD = np.array(((0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)))
_ODOMETRY_KEPT = 400
_LONGEST_GAP_NS = 300_000_000


class OdometryBuffer:
    """The robot's poses of the last seconds."""

    def __init__(self) -> None:
        self._poses: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=_ODOMETRY_KEPT)

    def add(self, message: Odometry) -> None:
        """Take a message; one that is older than the last starts anew."""
        stamp = messages.stamp_ns(message.header)
        matrix = pose.from_message(message.pose.pose.position, message.pose.pose.orientation)
        if matrix is None:
            return
        if self._poses and stamp <= self._poses[-1][0]:
            self._poses.clear()
        self._poses.append((stamp, matrix))

    def at(self, stamp: int) -> NDArray[np.float64] | None:
        """(4, 4) pose of the child frame with optical axes at a time; None where it is not known.

        The position is interpolated; the rotation is that of the nearer message.
        """
        for (before, first), (after, second) in pairwise(self._poses):
            if before <= stamp <= after and after - before < _LONGEST_GAP_NS:
                share = (stamp - before) / (after - before)
                result = (first if share < 0.5 else second).copy()
                result[:3, 3] = (1 - share) * first[:3, 3] + share * second[:3, 3]
                result[:3, :3] = result[:3, :3] @ _OPTICAL_FROM_FORWARD.T
                return result
        return None


class FrameMaker:
    """Rectifies images and resizes them to the network's size.

    Args:
        size: (width, height) of the network's training images, pixels.
        rectified: the parameter `input_rectified`.
    """

    def __init__(self, size: tuple[int, int], rectified: bool) -> None:
        self._size, self._rectified = size, rectified
        self._key: tuple[Any, ...] | None = None
        self._view: Viewport | None = None
        self._bits = BitDepth()
        self._allowance = Allowance()
        self.odometry = OdometryBuffer()

    def frame(self, job: Job) -> LiveFrame:
        """The adapter's frame.

        Raises:
            CalibrationError: no calibration, or one of another size than the image's.
            EncodingError: the image cannot be read.
        """
        view = self._view_of(job.info, messages.size_of(job.image))
        image = messages.to_rgb(job.image, self._bits)
        stamp = messages.stamp_ns(job.image.header)
        name = job.image.header.frame_id
        return LiveFrame.of(image, view, stamp, name, self.odometry.at(stamp))

    def _view_of(self, info: CameraInfo, image: tuple[int, int]) -> Viewport:
        key = camera_info.identity(info)
        if self._view is None or key != self._key:
            found = camera_info.from_message(info, self._rectified)
            # First, because maps of a giant calibration take gigabytes.
            check_size(image, found.camera)
            size = network_size(found.rectified, self._size)
            with self._allowance.spend():
                self._view = Viewport.of(found.camera, size, found.rectified, found.rotation)
            self._key = key
        return self._view
