# SPDX-License-Identifier: Apache-2.0
"""What every kind of a bag's files gives: topics, and messages by their place."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Topic:
    """A topic of a bag.

    Attributes:
        name: with its namespace.
        msgtype: such as `sensor_msgs/msg/Image`.
        encoding: of the definition: ros2msg, ros2idl, or empty where the bag has none.
        definition: of the type and of all that it holds, as it was when the bag was recorded.
    """

    name: str
    msgtype: str
    encoding: str = ""
    definition: str = ""


class Entry(NamedTuple):
    """Where a message lies.

    Attributes:
        time_ns: when it was received.
        file: which of the bag's files.
        chunk: of mcap: which of its chunks, -1 outside of all; of sqlite3: 0.
        place: offset of the record in chunk or file; of sqlite3: the row.
    """

    time_ns: int
    file: int
    chunk: int
    place: int


class Peek(NamedTuple):
    """A message's length in bytes, its beginning and its end."""

    length: int
    head: bytes
    tail: bytes


class Storage(Protocol):
    """One file of a bag.

    Attributes:
        path: the file.
        topics: by name.
        damage: what is wrong with the file, None where nothing is.
    """

    path: Path
    topics: dict[str, Topic]
    damage: str | None

    def index(self, topic: str, file: int) -> list[Entry]:
        """The topic's messages that are whole, in the order in which they were written."""
        ...

    def read(self, entry: Entry) -> bytes | memoryview:
        """A message's bytes. Raises DamagedError."""
        ...

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """A message's ends, without reading what is between. Raises DamagedError."""
        ...


class DamagedError(Exception):
    """What lies at a place is no message (any more): its reader leaves it out or says where."""


def unpacked(data: bytes | memoryview) -> bytes | memoryview:
    """A message without rosbag2's compression by message. Raises DamagedError.

    A serialised message begins with a zero, so that the mark of zstd shows by itself which is
    which, also where metadata.yaml is lost.
    """
    if bytes(data[:4]) != ZSTD_MAGIC:
        return data
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise DamagedError(str(error)) from error


class Slices:
    """Reads pieces of a file by their place; may be pickled, forked and shared by threads."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self.size = path.stat().st_size
        self._file: Any = None

    def __call__(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on; fewer at the end. Raises OSError."""
        # A damaged index may lead anywhere.
        size = min(size, self.size - start)
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        pieces: list[bytes] = []
        while size > 0 and (piece := os.pread(self._file.fileno(), size, start)):
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __getstate__(self) -> dict[str, Any]:
        """An open file stays behind."""
        return {**self.__dict__, "_file": None}
