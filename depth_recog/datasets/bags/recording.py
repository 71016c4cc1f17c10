# SPDX-License-Identifier: Apache-2.0
"""Reads one camera of a ROS 2 bag (rosbag2), without ROS."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.cameras import BagCameras
from depth_recog.datasets.bags.images import index_images
from depth_recog.datasets.bags.messages import MessageDecoder
from depth_recog.datasets.bags.storage import DamagedError
from depth_recog.datasets.bags.topics import KEYS, choose_topics
from depth_recog.datasets.bags.truth import TruthReader
from depth_recog.datasets.options import bits_option, split_options
from depth_recog.datasets.orientation import UPRIGHT, orientation_of
from depth_recog.datasets.reader import RecordingReader, bits_of
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.side_files import median_rate
from depth_recog.errors import EncodingError, SourceError
from depth_recog.files import user_path
from depth_recog.interfaces import compressed_image, image_codec
from depth_recog.interfaces.bit_depth import BitDepth

LAYOUT = "a folder that ros2 bag record wrote, or one of its .mcap or .db3 files"


class Rosbag(RecordingReader):
    """One camera of a bag.

    Accepted: `BAG?image=/camera/image_raw&camera_info=/camera/camera_info`, where BAG is a folder
    that rosbag2 wrote, or one .mcap or .db3 file, compressed or not; the options are optional.
    Without `image=` the bag must have one camera: one image topic with a camera_info in its
    namespace. Images are raw or compressed (JPEG, PNG); those of topics named image_rect* are
    rectified, with P as K. `?bits=12`: significant bits of 16-bit images, if their brightness
    does not show it.

    Without camera_info a ROS camera_info YAML is needed: `?camera=camera.yaml`, or camera.yaml in
    the bag's folder or beside it.

    Truth: the topics of `depth-recog record`, ground_truth/depth, pose, labels, moving and boxes in
    the image's namespace; or `?depth=/topic` (32FC1 or 16UC1, registered to the images) and
    `?pose=/topic` (PoseStamped, Odometry or TransformStamped of the optical frame in the world). No
    flow.

    The readable part of a damaged bag is read. One warning describes the damage and counts the
    images left out.

    Attributes:
        left_out: number of images that are missing, incomplete, or have no place in time.
    """

    kind = "rosbag"

    def __init__(self, text: str | Path, assumed: AssumedLens | None = None) -> None:
        """Indexes the messages without decoding images.

        Args:
            text: the bag and its options.
            assumed: of the camera, if there is no calibration.

        Raises:
            SourceError: the bag or a topic does not exist, there are several cameras, or no image
                can be read.
            CalibrationError: the calibration is missing or invalid.
        """
        path, options = split_options(text, KEYS)
        self._given_bits = bits_option(text, options)
        path = Path(os.path.abspath(user_path(path)))
        if not path.exists():
            raise SourceError(f"{path} does not exist: check the spelling; expected {LAYOUT}")
        self._bag = Bag(path)
        self.name = path.name
        topics = choose_topics(self._bag, options)
        self._topic = topics.image
        self._compressed = self._bag.topics[topics.image].msgtype == messages.COMPRESSED_IMAGE
        self._images = index_images(self._bag, topics.image)
        found = len(self._images.entries) + self._images.damaged + self._images.late
        lost = self._bag.missing(topics.image, found)
        self.left_out = self._images.damaged + self._images.late + lost
        if not self._images.entries:
            raise SourceError(
                f"{path}: {topics.image} has no image that can be read "
                f"({'; '.join(self._bag.damage) or f'{self.left_out} damaged'}): copy or record "
                "the bag again"
            )
        self._report(lost)
        self._stamps = self._images.stamps
        self.rate_hz = median_rate(self._stamps)
        self._decoder = MessageDecoder(self._bag.topics[topics.image])
        given = options.get("camera")
        self._cameras = BagCameras(self._bag, topics, self._images, given, assumed)
        self._truths = TruthReader(self._bag, topics, self._images)
        self._warn_of_orientation()

    def _frame(self, index: int) -> Frame:
        image = self._image(index, self._bits)
        height, width = image.shape[:2]
        camera = self._cameras.at(index, width, height)
        return Frame(f"{index:010d}", self._stamps[index], image, camera)

    @cached_property
    def _bits(self) -> BitDepth:
        where = f"{self._bag.path}, {self._topic}"
        return bits_of(self._given_bits, range(len(self)), self._image, where)

    def _image(self, index: int, bits: BitDepth) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, RGB, contiguous. Raises SourceError."""
        try:
            message = self._decoder(self._bag.read(self._images.entries[index]))
            return self._decode(message, bits)
        except (DamagedError, EncodingError, OSError) as error:
            raise SourceError(
                f"{self._bag.path}: image {index} of {self._topic} cannot be read: {error}"
            ) from error

    def _decode(self, message: Any, bits: BitDepth) -> NDArray[np.uint8]:
        """Raises EncodingError."""
        if self._compressed:
            return compressed_image.to_rgb(message.format, message.data, bits)
        image = image_codec.message_to_rgb(message, bits)
        # A view of the bag's bytes is read-only; images of other readers are writeable.
        return image if image.flags.writeable else image.copy()

    def messages_of(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Stamps, comparable with those of the images, and messages of another topic.

        Raises:
            SourceError: the bag has no such topic.
        """
        if topic not in self._bag.topics:
            known = ", ".join(sorted(self._bag.topics))
            raise SourceError(f"{self._bag.path} has no topic {topic}; it has {known}")
        decoder, offset = MessageDecoder(self._bag.topics[topic]), self._stamps[0]
        offset -= self._images.keys[0]
        for entry in self._bag.index(topic):
            try:
                message = decoder(self._bag.read(entry))
            except DamagedError:
                continue
            stamp = entry.time_ns
            if self._images.by_header and hasattr(message, "header"):
                stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            yield stamp + offset, message

    def _truth(self, index: int) -> Truth:
        size = self._size(index) if self._truths.has_pixels else (0, 0)
        return self._truths.at(index, size)

    def _file(self, index: int) -> Path | None:
        return self._bag.file(self._images.entries[index])

    def _size(self, index: int) -> tuple[int, int]:
        """(width, height) of an image; a compressed one must be decoded for it."""
        if not self._compressed:
            peek = self._bag.peek(self._images.entries[index], messages.HEAD_BYTES)
            head = messages.image_head(peek.head, compressed=False)
            if head is not None:
                return head.width, head.height
        height, width = self[index].image.shape[:2]
        return width, height

    def _warn_of_orientation(self) -> None:
        """Warns if the first JPEG says that it should be turned, which messages never are."""
        if not self._compressed:
            return
        try:
            data = bytes(self._bag.read(self._images.entries[0]))
        except DamagedError:
            return
        at = data.find(b"\xff\xd8\xff")
        if at >= 0 and (found := orientation_of(data[at:])) != UPRIGHT:
            logging.getLogger(__name__).warning(
                "%s, %s: EXIF orientation %d is not applied: camera_info describes the pixels as "
                "sent",
                self._bag.path,
                self._topic,
                found,
            )

    def _report(self, lost: int) -> None:
        """Logs one warning that describes all damage, if any."""
        images = self._images
        parts = list(self._bag.damage)
        if images.damaged:
            parts.append(f"{images.damaged} images are empty or cut off")
        if images.late:
            parts.append(f"{images.late} images are not later than an earlier one, or far off")
        if lost:
            parts.append(f"{lost} images that metadata.yaml counts are missing")
        parts += images.notes
        if parts:
            logging.getLogger(__name__).warning(
                "%s, %s: %s; %d images are read, %d left out",
                self._bag.path,
                self._topic,
                "; ".join(parts),
                len(images.entries),
                self.left_out,
            )
