# SPDX-License-Identifier: Apache-2.0
"""The records of an mcap file that a reader of messages needs (mcap.dev/spec)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import lz4.frame
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.bags.storage import DamagedError, zstd

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = 2, 3, 4, 5, 6, 7, 8
DATA_END = 0x0F
RECORD_HEAD = 9
"""Opcode, and the length of what follows."""
MESSAGE_HEAD = 22
"""Channel, sequence, time of logging, time of publishing."""


class Schema(NamedTuple):
    """A message type as text."""

    name: str
    encoding: str
    definition: str


class Channel(NamedTuple):
    """A topic."""

    schema: int
    topic: str
    encoding: str


class Chunk(NamedTuple):
    """Where a chunk's messages lie.

    Attributes:
        start: offset of its (compressed) records in the file.
        compressed: their bytes in the file.
        size: their bytes in memory.
        compression: empty, lz4 or zstd.
        indexes: offset in the file of each channel's MessageIndex; empty if there is none.
    """

    start: int
    compressed: int
    size: int
    compression: str
    indexes: dict[int, int]


class Fields:
    """Takes a record's fields, one after the other. Raises DamagedError where it ends early."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Begins at the first byte."""
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        """Numbers, as in `struct`, little endian."""
        try:
            values = struct.unpack_from("<" + layout, self._data, self._at)
        except struct.error as error:
            raise DamagedError(f"a record ends early ({error})") from error
        self._at += struct.calcsize("<" + layout)
        return values

    def block(self) -> bytes:
        """Bytes after their length."""
        (size,) = self.take("I")
        data = bytes(self._data[self._at : self._at + size])
        if len(data) < size:
            raise DamagedError("a record ends early")
        self._at += size
        return data

    def text(self) -> str:
        """Text after its length."""
        return self.block().decode(errors="replace")

    @property
    def rest(self) -> int:
        """Where the next field begins."""
        return self._at


def records(data: bytes | memoryview, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """The whole records of a piece: opcode, begin and end of their content."""
    while start + RECORD_HEAD <= len(data):
        opcode, length = struct.unpack_from("<BQ", data, start)
        begin = start + RECORD_HEAD
        start = begin + length
        if start > len(data):
            return
        yield opcode, begin, start


def schema(data: bytes | memoryview) -> tuple[int, Schema]:
    """Number and content of a Schema. Raises DamagedError."""
    fields = Fields(data)
    (number,) = fields.take("H")
    return number, Schema(fields.text(), fields.text(), fields.text())


def channel(data: bytes | memoryview) -> tuple[int, Channel]:
    """Number and content of a Channel. Raises DamagedError."""
    fields = Fields(data)
    number, schema_number = fields.take("HH")
    return number, Channel(schema_number, fields.text(), fields.text())


def chunk(head: bytes, content: int) -> Chunk:
    """A Chunk by the beginning of its content, which lies at `content`. Raises DamagedError."""
    fields = Fields(head)
    _, _, size, _ = fields.take("QQQI")
    compression = fields.text()
    (compressed,) = fields.take("Q")
    return Chunk(content + fields.rest, compressed, size, compression, {})


def chunk_index(data: bytes) -> Chunk:
    """A ChunkIndex. Raises DamagedError."""
    fields = Fields(data)
    _, _, start, _ = fields.take("QQQQ")
    table = fields.block()
    fields.take("Q")
    compression = fields.text()
    compressed, size = fields.take("QQ")
    # Opcode and length, two times, size, checksum, the compression's name, the records' length.
    start += RECORD_HEAD + 28 + 4 + len(compression) + 8
    indexes = dict(struct.iter_unpack("<HQ", table)) if len(table) % 10 == 0 else {}
    return Chunk(start, compressed, size, compression, indexes)


def message_index(data: bytes) -> tuple[int, NDArray[np.uint64]]:
    """A MessageIndex: its channel, and (N, 2) times and offsets. Raises DamagedError."""
    fields = Fields(data)
    (number,) = fields.take("H")
    table = fields.block()
    if len(table) % 16:
        raise DamagedError("a message index is damaged")
    return number, np.frombuffer(table, "<u8").reshape(-1, 2)


def unpack(data: bytes, compression: str, whole: bool = True) -> bytes:
    """A chunk's records.

    Args:
        data: as they are in the file.
        compression: its name; empty for none.
        whole: False where the data are known to be cut off: what can be had of them.

    Raises:
        DamagedError: damaged, or an unknown compression.
    """
    try:
        if compression == "zstd":
            return zstd.decompress(data) if whole else zstd.ZstdDecompressor().decompress(data)
        if compression == "lz4":
            reader = lz4.frame.LZ4FrameDecompressor()
            return bytes(lz4.frame.decompress(data) if whole else reader.decompress(data))
    except (zstd.ZstdError, RuntimeError, EOFError, MemoryError) as error:
        raise DamagedError(f"a chunk is damaged ({error})") from error
    if compression:
        raise DamagedError(f"a chunk is compressed with {compression!r}: zstd and lz4 are read")
    return data
