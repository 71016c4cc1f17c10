# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to the image and its camera_info, and the matching of the two.

The node subscribes to images only while one of its outputs has a subscriber: receiving images that
nobody uses costs a few percent of a CPU core at 30 Hz.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.errors import ConfigurationError, DepthRecogError, describe
from depth_recog.interfaces import camera_info
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.matching import CameraMatcher
from depth_recog.nodes.io.names import info_topic
from depth_recog.nodes.runtime import offers
from depth_recog.nodes.runtime.qos import QosWatch

IMAGE, INFO = "image", "camera_info"
AUTO = "auto"
"""Value of `image_reliability`: QoS as the publishers offer it."""

_COMPRESSED = "/compressed"
# Without any CameraInfo, images are used with an assumed one after this time, seconds.
_FALLBACK_S = 2.0
# An image that is the last for so long is paired with the newest CameraInfo, seconds.
_LONGEST_WAIT_S = 0.5
# After so long with images but without any CameraInfo the log says so, seconds.
_MISSING_S = 2.0


@dataclass(frozen=True)
class Job:
    """An image with its CameraInfo, and when the image arrived (seconds of `time.monotonic`).

    Without a CameraInfo (None) the calibration is assumed, see the parameter `fallback_fov`.
    """

    image: Image | CompressedImage
    info: CameraInfo | None
    arrived: float


Arrived = tuple[Image | CompressedImage, float]
"""An image, and when it arrived."""

Info: TypeAlias = CameraInfo | DepthRecogError
"""A CameraInfo, or why it cannot be used: only what is bounded is kept."""


class Inputs:
    """Subscribes to the image and its camera_info. For the executor's thread.

    The QoS of each subscription follows that of the topic's publishers, also when these change.

    Args:
        watch: creates the subscriptions.
        reliability: `AUTO`, or the reliability of both subscriptions: reliable or best_effort.
        transport: "raw" for `image`, "compressed" for `image/compressed`.
        count: called with "arrived", "unmatched" or "rejected", a number of images, and why.
        give: called with every image that has its CameraInfo.

    Raises:
        ConfigurationError: a QoS override that cannot be used.
    """

    def __init__(
        self,
        watch: QosWatch,
        reliability: str,
        transport: str,
        count: Callable[[str, int, str], None],
        give: Callable[[Job], None],
    ) -> None:
        node = watch.node
        self._node = node
        self._log = node.get_logger()
        self._watch = watch
        self._reliability = reliability
        self._count = count
        self._give = give
        self._matcher: CameraMatcher[Arrived, Info] = CameraMatcher(_fits)
        self._images: Subscription | None = None
        self._infos: Subscription | None = None
        self._chosen: dict[str, QoSProfile] = {}
        self._since = 0.0
        self._kind, self.topic = Image, node.resolve_topic_name(IMAGE)
        if transport == "compressed":
            self._kind, self.topic = CompressedImage, watch.transport_topic(IMAGE, transport)
        self.info_topic = info_topic(node, IMAGE, INFO)
        self.assuming: Callable[[], bool] = lambda: False
        """Whether images may be used although no CameraInfo has ever arrived."""
        self._first_alone = 0.0
        self._said_loose = False
        self.heard = False
        """Whether an image has arrived since the node subscribed."""
        self._changed = node.create_guard_condition(self._refresh)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_LONGEST_WAIT_S, self._tick, clock=steady)
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

    @property
    def hint(self) -> str:
        """What could be wrong with the names of the topics; empty if nothing is known."""
        if not self.heard:
            kind = offers.type_name(self._kind)
            if other := offers.other_type(self._node, self.topic, kind):
                return f" of {other}, not {kind}: {self._remedy(other)}"
            return _meant(offers.candidate(self._node, self.topic, kind), IMAGE)
        if self._matcher.informed:
            return ""
        kind = offers.type_name(CameraInfo)
        found = offers.candidate(self._node, self.info_topic, kind)
        # A remapping to the name that the node itself would give it is none.
        own = self._node.resolve_topic_name(INFO, only_expand=True)
        return _meant(found, INFO if found != own else self.info_topic)

    def _remedy(self, other: str) -> str:
        """What to do if the image topic has messages of another type."""
        if other != offers.type_name(CompressedImage):
            return "remap image to a topic with images"
        base = self.topic.removesuffix(_COMPRESSED)
        return "set image_transport to compressed" + (
            f", and remap image to {base}" if base != self.topic else ""
        )

    def open(self) -> None:
        """Subscribe to both topics, unless subscribed already."""
        # camera_info first: an image that arrives before its camera_info must wait.
        if self._infos is None:
            self._infos = self._subscribe(CameraInfo, self.info_topic, self._on_info)
        if self._images is None:
            self._since, self.heard, self._first_alone = time.monotonic(), False, 0.0
            self._images = self._subscribe(self._kind, self.topic, self._on_image)

    def rest(self) -> None:
        """Unsubscribe from images, and from camera_info once one has arrived.

        A driver may send its camera_info only once, so the node stays subscribed to it until then.
        """
        if self._images is not None:
            self._watch.destroy(self._images)
            self._images = None
            self._count("unmatched", self._matcher.give_up(), "")
        if self._infos is not None and self._matcher.informed:
            self._watch.destroy(self._infos)
            self._infos = None

    def close(self) -> None:
        """Unsubscribe from both topics."""
        self.rest()
        if self._infos is not None:
            self._watch.destroy(self._infos)
            self._infos = None
        self._node.destroy_timer(self._timer)
        self._node.destroy_guard_condition(self._changed)

    # Quality of service

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Subscription:
        qos = self._chosen[topic] = self._qos(kind, topic)
        changed = self._changed.trigger if self._reliability == AUTO else None
        return self._watch.subscription(kind, topic, callback, qos, changed)

    def _qos(self, kind: type, topic: str) -> QoSProfile:
        if self._reliability == AUTO:
            return offers.fitting_qos(self._node, topic, offers.type_name(kind))
        reliability = ReliabilityPolicy[self._reliability.upper()]
        return QoSProfile(depth=offers.DEPTH, reliability=reliability)

    def _refresh(self) -> None:
        """Subscribe anew where the publishers' QoS has changed."""
        if self._infos is not None and self._outdated(CameraInfo, self.info_topic):
            self._watch.destroy(self._infos)
            self._infos = self._subscribe(CameraInfo, self.info_topic, self._on_info)
        if self._images is not None and self._outdated(self._kind, self.topic):
            self._watch.destroy(self._images)
            self._images = self._subscribe(self._kind, self.topic, self._on_image)

    def _outdated(self, kind: type, topic: str) -> bool:
        # Without a publisher nothing needs to change: it may come back as it was.
        return bool(self._node.count_publishers(topic)) and (
            self._qos(kind, topic) != self._chosen[topic]
        )

    # Messages

    def _tick(self) -> None:
        self._refresh()
        if self._matcher.waiting and self.silence > _LONGEST_WAIT_S:
            self._hand_over(self._matcher.hurry())
        if self.heard and not self._matcher.informed and not self.assuming():
            self._first_alone = self._first_alone or time.monotonic()
            if time.monotonic() - self._first_alone >= _MISSING_S and self.listening:
                self._log.warning(
                    f"no camera_info on {self.info_topic}, so the images of {self.topic} are not "
                    f"used{self.hint}",
                    throttle_duration_sec=10.0,
                )

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._since, self.heard = time.monotonic(), True
        self._count("arrived", 1, "")
        try:
            messages.check_lengths(message)
        except DepthRecogError as error:
            self._reject(error)
            return
        if self._used_alone():
            self._count("unmatched", self._matcher.give_up(), "")
            self._give(Job(message, None, self._since))
            return
        arrived = message, self._since
        pairs, lost = self._matcher.image(messages.stamp_ns(message.header), arrived)
        self._count("unmatched", lost, "")
        if self._matcher.loose and not self._said_loose:
            self._said_loose = True
            self._log.warning(
                f"{self.info_topic}: not every image has a camera_info with its stamp: the newest "
                "one is used"
            )
        self._hand_over(pairs)

    def _reject(self, error: DepthRecogError) -> None:
        self._count("rejected", 1, describe(error))
        text = f"image rejected: {describe(error)}"
        self._log.error(text, throttle_duration_sec=5.0)

    def _used_alone(self) -> bool:
        """Whether an image that has just arrived is used without a CameraInfo."""
        if self._matcher.informed:
            self._first_alone = 0.0
            return False
        # A CameraInfo that is sent rarely, or once, may arrive after the first images.
        self._first_alone = self._first_alone or self._since
        return self.assuming() and self._since - self._first_alone >= _FALLBACK_S

    def _on_info(self, message: CameraInfo) -> None:
        info: Info = message
        try:
            camera_info.check_lengths(message)
        except DepthRecogError as error:
            info = error.with_traceback(None)  # which would keep the message
        self._hand_over(self._matcher.info(messages.stamp_ns(message.header), info))

    def _hand_over(self, pairs: list[tuple[Arrived, Info]]) -> None:
        for (image, arrived), info in pairs:
            if isinstance(info, DepthRecogError):
                self._reject(info)
            else:
                self._give(Job(image, info, arrived))


def _fits(image: Arrived, info: Info) -> bool:
    """Whether an image has its CameraInfo's size; a compressed image may have any."""
    message = image[0]
    if isinstance(info, DepthRecogError):
        return False
    return isinstance(message, CompressedImage) or (
        (message.width, message.height) == camera_info.image_size(info)
    )


def _meant(found: str, name: str) -> str:
    base = found.removesuffix(_COMPRESSED)
    return f"; {found} exists: remap {name} to {base}" if found else ""
