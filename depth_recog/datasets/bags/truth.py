# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag's images: topics of ground_truth/, or chosen by option."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.bags import boxes, messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.images import ImageIndex
from depth_recog.datasets.bags.messages import MessageDecoder
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.bags.topics import CameraTopics
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import median_rate
from depth_recog.errors import EncodingError, SourceError
from depth_recog.interfaces import pose
from depth_recog.interfaces.image_codec import contents, raw_view, to_depth

Converted = TypeVar("Converted")


class Join:
    """A topic's messages by image: the nearest by stamp, at most `within_ns` nanoseconds away."""

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

    def read(self, index: int, convert: Callable[[Any], Converted]) -> Converted | None:
        """The converted message of an image; None without. Raises SourceError if it is damaged."""
        stamp = self._images.keys[index]
        at = bisect_left(self._stamped, (stamp,))
        near = self._stamped[max(0, at - 1) : at + 1]
        gap, entry = min(((abs(s - stamp), e) for s, e in near), default=(0, None))
        if entry is None or gap > self._within:
            return None
        try:
            return convert(self._decoder(self._bag.read(entry)))
        except (DamagedError, EncodingError) as error:
            raise SourceError(
                f"{self._bag.path}: the message on {self.topic} for image {index} cannot be read "
                f"({error}): restore the bag, or take another topic"
            ) from error


class TruthReader:
    """Ground truth of one camera's images.

    Messages of `depth-recog record` have exactly the stamps of their images. Depth and pose of
    other topics may differ by up to half the time between two images.
    """

    def __init__(self, bag: Bag, topics: CameraTopics, images: ImageIndex) -> None:
        """Prepares the topics; they are indexed at the first access."""
        half = int(0.5e9 / median_rate(images.stamps))
        self._joins = {n: Join(bag, topic, images, 0) for n, topic in topics.recorded.items()}
        self._joins |= {n: Join(bag, topic, images, half) for n, topic in topics.chosen.items()}

    @property
    def has_pixels(self) -> bool:
        """Whether there is ground truth that must have the image's size."""
        return not self._joins.keys().isdisjoint(("depth", "labels", "moving"))

    def at(self, index: int, size: tuple[int, int]) -> Truth:
        """Ground truth of an image of `size` (width, height). Raises SourceError."""
        return Truth(
            depth=self._pixels(index, size, "depth", to_depth),
            world_from_camera=self._read(index, "pose", _pose),
            labels=self._pixels(index, size, "labels", _labels),
            moving=self._pixels(index, size, "moving", _moving),
            boxes=self._read(index, "boxes", boxes.from_markers),
        )

    def _read(self, index: int, name: str, convert: Callable[[Any], Converted]) -> Converted | None:
        join = self._joins.get(name)
        return join.read(index, convert) if join else None

    def _pixels(
        self, index: int, size: tuple[int, int], name: str, convert: Callable[..., Converted]
    ) -> Converted | None:
        def convert_if_registered(message: Any) -> Converted:
            if (message.width, message.height) != size:
                raise SourceError(
                    f"{self._joins[name].topic} is {message.width}x{message.height}, its image "
                    f"{size[0]}x{size[1]}: it must be registered to the image, pixel by pixel "
                    "(depth_image_proc does that)"
                )
            return convert(*contents(message))

        return self._read(index, name, convert_if_registered)


def _labels(*image: Any) -> NDArray[np.uint8]:
    return np.array(raw_view(*image), np.uint8)


def _moving(*image: Any) -> NDArray[np.bool_]:
    return np.asarray(raw_view(*image) != 0)


def _pose(message: Any) -> NDArray[np.float64] | None:
    """(4, 4) of a TransformStamped, Odometry or PoseStamped; None if tracking was lost."""
    if hasattr(message, "transform"):
        return pose.from_message(message.transform.translation, message.transform.rotation)
    # Odometry wraps the pose in a PoseWithCovariance.
    found = message.pose.pose if hasattr(message.pose, "pose") else message.pose
    return pose.from_message(found.position, found.orientation)
