# SPDX-License-Identifier: Apache-2.0
"""The image and its camera_info, subscribed to only while somebody wants what is made of them.

Taking an image out of the middleware costs as much as a few percent of a core at 30 Hz, for nothing
when nobody listens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.errors import ConfigurationError
from depth_recog.nodes.diagnostics.ledger import Ledger
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.matching import CameraMatcher
from depth_recog.nodes.runtime.qos import QosWatch

IMAGE, INFO = "image", "camera_info"


@dataclass(frozen=True)
class Job:
    """An image, its CameraInfo, and when it arrived (monotonic seconds)."""

    image: Image | CompressedImage
    info: CameraInfo
    arrived: float


class Inputs:
    """Two subscriptions that come and go. For the executor's thread.

    Args:
        node: their owner.
        watch: makes the subscriptions.
        qos: of both.
        transport: "raw", or "compressed" for `image/compressed`.
        ledger: counts the images.
        give: is given every image that has its CameraInfo.

    Raises:
        ConfigurationError: a QoS override that cannot be used.
    """

    def __init__(
        self,
        node: Node,
        watch: QosWatch,
        qos: QoSProfile,
        transport: str,
        ledger: Ledger,
        give: Callable[[Job], None],
    ) -> None:
        self._node = node
        self._watch = watch
        self._qos = qos
        self._ledger = ledger
        self._give = give
        self._matcher: CameraMatcher[Job, CameraInfo] = CameraMatcher()
        self._images: Subscription | None = None
        self._infos: Subscription | None = None
        self._since = 0.0
        self._kind, self.topic = Image, node.resolve_topic_name(IMAGE)
        if transport == "compressed":
            # image_transport's rule: the base topic is remapped, then the transport is appended.
            self._kind, self.topic = CompressedImage, f"{self.topic}/compressed"
        self.info_topic = node.resolve_topic_name(INFO)
        self.heard = False
        """Whether an image has come since the subscription."""
        try:
            self.open()
        except ConfigurationError:
            self.close()
            raise

    @property
    def listening(self) -> bool:
        """Whether images are taken."""
        return self._images is not None

    @property
    def silence(self) -> float:
        """Seconds since the last image, or since the subscription before the first one."""
        return time.monotonic() - self._since

    def open(self) -> None:
        """Subscribe, where that is not so already."""
        # First the camera_info: an image that comes without it must wait.
        if self._infos is None:
            self._infos = self._watch.subscription(
                CameraInfo, self.info_topic, self._on_info, self._qos
            )
        if self._images is None:
            self._since, self.heard = time.monotonic(), False
            self._images = self._watch.subscription(
                self._kind, self.topic, self._on_image, self._qos
            )

    def rest(self) -> None:
        """Take no images. A driver may send its camera_info only once: one is waited for."""
        if self._images is not None:
            self._watch.destroy(self._images)
            self._images = None
            self._ledger.count("unmatched", self._matcher.give_up())
        if self._infos is not None and self._matcher.informed:
            self._watch.destroy(self._infos)
            self._infos = None

    def close(self) -> None:
        """End both subscriptions."""
        self.rest()
        if self._infos is not None:
            self._watch.destroy(self._infos)
            self._infos = None

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._since, self.heard = time.monotonic(), True
        self._ledger.count("received")
        was_loose = self._matcher.loose
        job = Job(message, CameraInfo(), self._since)
        pairs, lost = self._matcher.image(messages.stamp_ns(message.header), job)
        self._ledger.count("unmatched", lost)
        if self._matcher.loose and not was_loose:
            self._node.get_logger().warning(
                "camera_info's stamps differ from the images': using the newest camera_info"
            )
        self._hand_over(pairs)

    def _on_info(self, message: CameraInfo) -> None:
        self._hand_over(self._matcher.info(messages.stamp_ns(message.header), message))

    def _hand_over(self, pairs: list[tuple[Any, CameraInfo]]) -> None:
        for job, info in pairs:
            self._give(Job(job.image, info, job.arrived))
