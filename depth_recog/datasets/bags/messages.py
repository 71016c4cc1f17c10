# SPDX-License-Identifier: Apache-2.0
"""Deserialises messages, completely or only the header fields in their first bytes."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, NamedTuple

from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from depth_recog.datasets.bags.storage import DamagedError, Peek, Topic
from depth_recog.limits import BAG_SMALL_MESSAGE_BYTES
from depth_recog.limits import MARKERS as MARKERS_MOST

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE = "geometry_msgs/msg/PoseStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
TRANSFORM = "geometry_msgs/msg/TransformStamped"
MARKERS = "visualization_msgs/msg/MarkerArray"

_NEW_FIELD = "uv_coordinates"
"""Of Marker, since Humble."""
HEAD_BYTES = 512
"""Enough for the fields before an image's pixels."""
STAMP_BYTES = 16
"""Enough for `stamp`."""


class MessageDecoder:
    """Deserialises messages of one topic, by the definitions of ROS, never by the bag's own.

    A definition is a program for the library, which generates code from it. All types that are read
    are the same in every distribution, but for Marker.
    """

    def __init__(self, topic: Topic) -> None:
        """Makes the types at the first message only."""
        self._topic = topic
        self._types: Typestore | None = None

    def __call__(self, data: bytes | memoryview) -> Any:
        """Deserialises a message; its arrays are views of `data`. Raises DamagedError."""
        kind = self._topic.msgtype
        if kind not in (IMAGE, COMPRESSED_IMAGE) and len(data) > BAG_SMALL_MESSAGE_BYTES:
            raise DamagedError(f"a {kind} of {len(data)} bytes")
        if kind == MARKERS and _count(data) > MARKERS_MOST:
            raise DamagedError(f"more than {MARKERS_MOST} markers")
        if self._types is None:
            self._types = _typestore(self._topic)
        try:
            return self._types.deserialize_cdr(memoryview(data), kind)
        except Exception as error:  # the generated code raises many types
            raise DamagedError(f"no {kind} ({type(error).__name__})") from error

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the code that was generated from the definition."""
        return {**self.__dict__, "_types": None}


def _typestore(topic: Topic) -> Typestore:
    """The message types of a topic: those of Jazzy, or of Foxy where Marker had fewer fields."""
    old = topic.msgtype == MARKERS and topic.definition and _NEW_FIELD not in topic.definition
    return _known_types(Stores.ROS2_FOXY if old else Stores.ROS2_JAZZY)


@cache
def _known_types(store: Stores) -> Typestore:
    """Made once: each takes as long as decoding hundreds of messages."""
    return get_typestore(store)


def _count(data: bytes | memoryview) -> int:
    """The length of a sequence that a message begins with."""
    head = bytes(data[:8])
    return int.from_bytes(head[4:8], "little" if head[1:2] != b"\0" else "big")


class Head(NamedTuple):
    """The fields before an image's pixels; width, height and step are 0 if compressed."""

    width: int
    height: int
    label: str
    step: int
    begin: int
    length: int

    def whole(self, size: int) -> bool:
        """Whether a message of `size` bytes contains the complete image."""
        return 0 < self.length <= size - self.begin and self.length >= self.height * self.step


class _Cursor:
    """Reads fields of a CDR message in order; each is aligned to its size."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[1] & 1 else ">"
        self.at = 12  # after the encapsulation and the stamp

    def number(self) -> int:
        self.at += -self.at % 4
        (value,) = struct.unpack_from(self._order + "I", self._data, self.at)
        self.at += 4
        return int(value)

    def text(self) -> str:
        size = self.number()
        raw = self._data[self.at : self.at + size]
        self.at += size
        return raw.rstrip(b"\0").decode(errors="replace")


def image_head(head: bytes, compressed: bool) -> Head | None:
    """Reads the fields before the pixels from a message's first bytes; None if cut off.

    The message is a CompressedImage if `compressed`, else an Image.
    """
    try:
        cursor = _Cursor(head)
        cursor.text()  # frame_id
        height = width = step = 0
        if not compressed:
            height, width = cursor.number(), cursor.number()
        label = cursor.text()  # the encoding, or a CompressedImage's format
        if not compressed:
            cursor.at += 1  # is_bigendian
            step = cursor.number()
        length = cursor.number()
    except (struct.error, IndexError):
        return None
    return Head(width, height, label, step, cursor.at, length)


def stamp(peek: Peek, msgtype: str) -> int | None:
    """Reads header.stamp in nanoseconds, for a MarkerArray of its first marker; None without.

    Args:
        peek: at least `STAMP_BYTES` of the message.
        msgtype: its type: MarkerArray, or one that begins with a header.
    """
    head = peek.head
    if len(head) < 8:
        return None
    order, at = "<" if head[1] & 1 else ">", 4
    if msgtype == MARKERS:
        if len(head) < 8:
            return None
        (count,) = struct.unpack_from(order + "I", head, at)
        at = 8
        if not count:
            return None
    if len(head) < at + 8:
        return None
    seconds, nanoseconds = struct.unpack_from(order + "iI", head, at)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
