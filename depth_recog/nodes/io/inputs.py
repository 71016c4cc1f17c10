# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to the image and its camera_info, and the matching of the two.

The node subscribes to images only while one of its outputs has a subscriber: receiving images that
nobody uses costs a few percent of a CPU core at 30 Hz.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.errors import ConfigurationError
from depth_recog.nodes.io import messages
from depth_recog.nodes.runtime.qos import QosWatch

IMAGE, INFO = "image", "camera_info"

I = TypeVar("I")  # noqa: E741 - an image message
C = TypeVar("C")  # its CameraInfo

# After this many images in a row without a CameraInfo of the same stamp, use the newest one.
_PATIENCE = 3
_INFOS_KEPT = 32
# With `fallback_fov`, seconds after the first image until images without CameraInfo are used.
_FALLBACK_S = 2.0


@dataclass(frozen=True)
class Job:
    """An image with its CameraInfo, and when the image arrived (seconds of `time.monotonic`).

    The CameraInfo is None if none has ever arrived and the node may assume a field of view.
    """

    image: Image | CompressedImage
    info: CameraInfo | None
    arrived: float


Arrived = tuple[Image | CompressedImage, float]
"""An image, and when it arrived."""


class CameraMatcher(Generic[I, C]):
    """Pairs images and CameraInfos with equal stamps, in whichever order they arrive.

    Some drivers give CameraInfo another stamp than the image, or send it only once. After three
    images in a row without a CameraInfo of the same stamp, the newest CameraInfo is used.
    """

    def __init__(self) -> None:
        self._infos: OrderedDict[int, C] = OrderedDict()
        self._waiting: tuple[int, I] | None = None
        self._unmatched = 0
        self.loose = False
        """Whether the newest CameraInfo is used because the stamps differ."""

    def image(self, stamp_ns: int, message: I) -> tuple[list[tuple[I, C]], int]:
        """Add an image.

        Returns:
            The pairs that are complete now, oldest first, and how many images were given up.
        """
        pairs: list[tuple[I, C]] = []
        lost = 0
        if self._waiting is not None:
            # The next image has arrived before the CameraInfo of the one that waits.
            self._unmatched += 1
            if self._infos and self._unmatched >= _PATIENCE:
                self.loose = True
            if self.loose:
                pairs.append((self._waiting[1], self._newest()))
            else:
                lost = 1
            self._waiting = None
        if stamp_ns in self._infos:
            self._unmatched, self.loose = 0, False
            pairs.append((message, self._infos[stamp_ns]))
        elif self.loose:
            pairs.append((message, self._newest()))
        else:
            self._waiting = (stamp_ns, message)
        return pairs, lost

    def info(self, stamp_ns: int, message: C) -> list[tuple[I, C]]:
        """Add a CameraInfo; returns the pair that it completes, if any."""
        self._infos[stamp_ns] = message
        self._infos.move_to_end(stamp_ns)
        if len(self._infos) > _INFOS_KEPT:
            self._infos.popitem(last=False)
        if self._waiting is not None and self._waiting[0] == stamp_ns:
            image = self._waiting[1]
            self._waiting, self._unmatched, self.loose = None, 0, False
            return [(image, message)]
        return []

    @property
    def waiting(self) -> int:
        """1 while an image waits for its CameraInfo, else 0."""
        return int(self._waiting is not None)

    @property
    def informed(self) -> bool:
        """Whether any CameraInfo has arrived."""
        return bool(self._infos)

    def give_up(self) -> int:
        """Forget the image that waits for its CameraInfo; returns how many (0 or 1) that was."""
        lost, self._waiting = self.waiting, None
        return lost

    def _newest(self) -> C:
        return self._infos[next(reversed(self._infos))]


class Inputs:
    """Subscribes to the image and its camera_info. For the executor's thread.

    Args:
        watch: creates the subscriptions.
        qos: of both subscriptions.
        transport: "raw" for `image`, "compressed" for `image/compressed`.
        count: called with "received" or "unmatched" and a number of images.
        give: called with every image that has its CameraInfo.

    Raises:
        ConfigurationError: a QoS override that cannot be used.
    """

    def __init__(
        self,
        watch: QosWatch,
        qos: QoSProfile,
        transport: str,
        count: Callable[[str, int], None],
        give: Callable[[Job], None],
    ) -> None:
        node = watch.node
        self._log = node.get_logger()
        self._watch = watch
        self._qos = qos
        self._count = count
        self._give = give
        self._matcher: CameraMatcher[Arrived, CameraInfo] = CameraMatcher()
        self._images: Subscription | None = None
        self._infos: Subscription | None = None
        self._since = 0.0
        self._kind, self.topic = Image, node.resolve_topic_name(IMAGE)
        if transport == "compressed":
            self._kind, self.topic = CompressedImage, watch.transport_topic(IMAGE, transport)
        self.info_topic = node.resolve_topic_name(INFO)
        self.assuming: Callable[[], bool] = lambda: False
        """Whether images may be used although no CameraInfo has ever arrived."""
        self._first_alone = 0.0
        self.heard = False
        """Whether an image has arrived since the node subscribed."""
        try:
            self.open()
        except ConfigurationError:
            self.close()
            raise

    @property
    def listening(self) -> bool:
        """Whether the node is subscribed to images."""
        return self._images is not None

    @property
    def silence(self) -> float:
        """Seconds since the last image; since the subscription if none has arrived."""
        return time.monotonic() - self._since

    def open(self) -> None:
        """Subscribe to both topics, unless subscribed already."""
        # camera_info first: an image that arrives before its camera_info must wait.
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
        """Unsubscribe from images, and from camera_info once one has arrived.

        A driver may send its camera_info only once, so the node stays subscribed to it until then.
        """
        if self._images is not None:
            self._watch.destroy(self._images)
            self._images = None
            self._count("unmatched", self._matcher.give_up())
        if self._infos is not None and self._matcher.informed:
            self._watch.destroy(self._infos)
            self._infos = None

    def close(self) -> None:
        """Unsubscribe from both topics."""
        self.rest()
        if self._infos is not None:
            self._watch.destroy(self._infos)
            self._infos = None

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._since, self.heard = time.monotonic(), True
        self._count("received", 1)
        if self._used_alone():
            self._count("unmatched", self._matcher.give_up())
            self._give(Job(message, None, self._since))
            return
        was_loose = self._matcher.loose
        arrived = message, self._since
        pairs, lost = self._matcher.image(messages.stamp_ns(message.header), arrived)
        self._count("unmatched", lost)
        if self._matcher.loose and not was_loose:
            self._log.warning(
                f"{self.topic}: camera_info's stamps differ from the images': using the newest "
                "camera_info"
            )
        self._hand_over(pairs)

    def _used_alone(self) -> bool:
        """Whether an image that has just arrived is used without a CameraInfo."""
        if self._matcher.informed or not self.assuming():
            self._first_alone = 0.0
            return False
        # A CameraInfo that is sent rarely, or once, may arrive after the first images.
        self._first_alone = self._first_alone or self._since
        return self._since - self._first_alone >= _FALLBACK_S

    def _on_info(self, message: CameraInfo) -> None:
        self._hand_over(self._matcher.info(messages.stamp_ns(message.header), message))

    def _hand_over(self, pairs: list[tuple[Arrived, CameraInfo]]) -> None:
        for (image, arrived), info in pairs:
            self._give(Job(image, info, arrived))
