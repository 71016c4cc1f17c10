# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag's images: topics of ground_truth/, or chosen by option."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.bags import boxes, messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.images import ImageIndex
from depth_recog.datasets.bags.messages import MessageDecoder
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.bags.topics import CameraTopics
from depth_recog.datasets.boxes import Box
from depth_recog.errors import EncodingError, SourceError
from depth_recog.interfaces import pose
from depth_recog.interfaces.image_codec import raw_view, to_depth


class Join:
    """Assigns a topic's messages to images by stamp.

    Args:
        bag: the bag.
        topic: the topic.
        images: the images.
        within_ns: largest difference of stamps, nanoseconds; the nearest message is taken.
    """

    def __init__(self, bag: Bag, topic: str, images: ImageIndex, within_ns: int) -> None:
        self._bag = bag
        self._within = within_ns
        self._images = images
        self.topic = topic
        self._decoder = MessageDecoder(bag.topics[topic])

    @cached_property
    def _stamped(self) -> list[tuple[int, Entry]]:
        """Stamps and positions of the messages, in order."""
        msgtype = self._bag.topics[self.topic].msgtype
        found: list[tuple[int, Entry]] = []
        for entry in self._bag.index(self.topic):
            stamp = None
            if self._images.by_header:
                try:
                    peek = self._bag.peek(entry, messages.STAMP_BYTES)
                except DamagedError:
                    continue
                stamp = messages.stamp(peek, msgtype)
            # An empty MarkerArray has no stamp: its time of receipt is used.
            found.append((entry.time_ns if stamp is None else stamp, entry))
        return sorted(found)

    def message(self, index: int) -> Any:
        """The message of an image; None without.

        Raises:
            SourceError: it is damaged.
        """
        stamp = self._images.stamps[index]
        at = bisect_left(self._stamped, (stamp,))
        near = self._stamped[max(0, at - 1) : at + 1]
        gap, entry = min(((abs(s - stamp), e) for s, e in near), default=(0, None))
        if entry is None or gap > self._within:
            return None
        try:
            return self._decoder(self._bag.read(entry))
        except DamagedError as error:
            raise self.damaged(index, error) from error

    def damaged(self, index: int, why: Exception) -> SourceError:
        """The error of a message that cannot be read."""
        return SourceError(
            f"{self._bag.path}: the message on {self.topic} for image {index} cannot be read "
            f"({why}): restore the bag, or take another topic"
        )


class TruthReader:
    """Ground truth of one camera's images; None for topics that the bag does not have.

    Messages of `depth-recog record` have exactly the stamps of their images. Depth and pose of
    other topics may differ by up to half the time between two images.
    """

    def __init__(self, bag: Bag, topics: CameraTopics, images: ImageIndex) -> None:
        """Prepares the topics; they are indexed at the first access."""
        half = int(0.5e9 / images.rate_hz)

        def join(topic: str | None, own: bool = True) -> Join | None:
            return Join(bag, topic, images, 0 if own else half) if topic else None

        self._depth = join(topics.depth, topics.own_depth)
        self._pose = join(topics.pose, topics.own_pose)
        self._labels = join(topics.labels)
        self._moving = join(topics.moving)
        self._boxes = join(topics.boxes)

    @property
    def has_pixels(self) -> bool:
        """Whether there is ground truth that must have the image's size."""
        return any((self._depth, self._labels, self._moving))

    def depth(self, index: int, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """See `Truth.depth`. Raises SourceError."""
        values = self._pixels(self._depth, index, size, to_depth)
        return None if values is None else np.asarray(values, np.float32)

    def labels(self, index: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """See `Truth.labels`. Raises SourceError."""
        values = self._pixels(self._labels, index, size, raw_view)
        return None if values is None else np.array(values, np.uint8)

    def moving(self, index: int, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """See `Truth.moving`. Raises SourceError."""
        values = self._pixels(self._moving, index, size, raw_view)
        return None if values is None else np.asarray(values != 0)

    def pose(self, index: int) -> NDArray[np.float64] | None:
        """See `Truth.world_from_camera`; None if tracking was lost. Raises SourceError."""
        message = self._pose.message(index) if self._pose else None
        if message is None:
            return None
        if hasattr(message, "transform"):
            return pose.from_message(message.transform.translation, message.transform.rotation)
        # Odometry wraps the pose in a PoseWithCovariance.
        found = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        return pose.from_message(found.position, found.orientation)

    def boxes(self, index: int) -> tuple[Box, ...] | None:
        """See `Truth.boxes`. Raises SourceError."""
        message = self._boxes.message(index) if self._boxes else None
        if self._boxes is None or message is None:
            return None
        try:
            return boxes.from_markers(message)
        except DamagedError as error:
            raise self._boxes.damaged(index, error) from error

    def _pixels(self, join: Join | None, index: int, size: tuple[int, int], read: Any) -> Any:
        message = join.message(index) if join else None
        if join is None or message is None:
            return None
        if (message.width, message.height) != size:
            raise SourceError(
                f"{join.topic} is {message.width}x{message.height}, its image {size[0]}x{size[1]}: "
                "it must be registered to the image, pixel by pixel (depth_image_proc does that)"
            )
        try:
            return read(
                message.encoding,
                message.height,
                message.width,
                message.step,
                message.data,
                bool(message.is_bigendian),
            )
        except EncodingError as error:
            raise join.damaged(index, error) from error
