# SPDX-License-Identifier: Apache-2.0
"""The interface of a bag's storage files: topics, and messages by position."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

from depth_recog.limits import BAG_MESSAGE_BYTES, unpacked_most

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Topic:
    """A topic of a bag.

    Attributes:
        msgtype: such as `sensor_msgs/msg/Image`.
        encoding: ros2msg or ros2idl; empty where the bag has no definition.
        definition: of the message type and the types it uses, as recorded in the bag.
    """

    name: str
    msgtype: str
    encoding: str = ""
    definition: str = ""


class Entry(NamedTuple):
    """The position of a message.

    Attributes:
        time_ns: when it was received.
        file: index of the bag's file.
        chunk: index of the mcap chunk, -1 outside of chunks; 0 in sqlite3.
        place: offset of the record in its chunk or file; the row id in sqlite3.
    """

    time_ns: int
    file: int
    chunk: int
    place: int


class Peek(NamedTuple):
    """A message's length in bytes, its first and its last bytes."""

    length: int
    head: bytes
    tail: bytes


class Storage(Protocol):
    """One file of a bag. `damage` describes the file's damage, None without."""

    path: Path
    topics: dict[str, Topic]
    damage: str | None

    def index(self, topic: str, file: int) -> list[Entry]:
        """The topic's complete messages in the order in which they were written."""
        ...

    def read(self, entry: Entry) -> bytes | memoryview:
        """A message's bytes. Raises DamagedError."""
        ...

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """A message's first and last bytes only. Raises DamagedError."""
        ...


class DamagedError(Exception):
    """There is no readable message at a position."""


def unpacked(data: bytes | memoryview) -> bytes | memoryview:
    """Undoes rosbag2's compression by message. Raises DamagedError.

    A serialised message begins with a zero byte, so zstd's magic number tells compressed messages
    apart, also where metadata.yaml is missing.
    """
    if bytes(data[:4]) != ZSTD_MAGIC:
        return data
    try:
        most = min(BAG_MESSAGE_BYTES, unpacked_most(len(data)))
        plain = zstd.ZstdDecompressor().decompress(data, most + 1)
    except (zstd.ZstdError, EOFError, MemoryError) as error:
        raise DamagedError(str(error)) from error
    if len(plain) > most:
        raise DamagedError(f"a message of {len(data)} bytes unpacks to more than {most}")
    return plain
