# SPDX-License-Identifier: Apache-2.0
"""An mcap file of a bag: reads single messages by position, also where the file is cut off.

The package `mcap` parses the summary and the records, decompresses the chunks and checks their CRC.
This file does what neither `mcap` nor `rosbags` does:

- Random access. Both libraries iterate over whole chunks and cache none, so reading a frame costs
  twenty times more (docs/decisions/0020-bags.md). Opening a bag must not read all of its images.
- Recovery. `rosbags` refuses a file that was cut off; `mcap.stream_reader` stops at the first
  damaged record and drops the chunk in which the file ends.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Chunk, ChunkIndex, MessageIndex

from depth_recog.datasets.bags.mcap_bytes import (
    FileBytes,
    crc_fits,
    decompressed,
    stream_of,
    summary_is_intact,
    summary_is_long,
)
from depth_recog.datasets.bags.mcap_channels import Channels
from depth_recog.datasets.bags.storage import DamagedError, Entry, Peek
from depth_recog.errors import SourceError
from depth_recog.files import open_regular
from depth_recog.limits import BAG_MESSAGES, BAG_SUMMARY_BYTES, unpacked_most

_MAGIC = b"\x89MCAP0\r\n"
_RECORD_HEAD = struct.Struct("<BQ")
"""A record's opcode, and the length of what follows."""
_MESSAGE_HEAD = struct.Struct("<BQHIQQ")
"""The same, then a Message's channel, sequence number, time of logging, time of publishing."""
_CHUNK_HEAD_BYTES = _RECORD_HEAD.size + 40
"""A Chunk's bytes before its records, without the name of its compression."""
_COMPRESSIONS = ("", "lz4", "zstd")
_CACHE_BYTES = 64 * 2**20
_ANY = -1
"""In place of a channel: of chunks without an index."""
# What the libraries raise when they parse damaged bytes.
_DAMAGE = (
    *(McapError, ValueError, struct.error, zstandard.ZstdError, RuntimeError, MemoryError),
    *(OverflowError, LookupError, TypeError),
)

Take = Callable[[int, int], bytes | memoryview]


class McapFile:
    """See `Storage`. A chunk's CRC is checked before its first message is read.

    The ends of messages in uncompressed chunks, which opening a bag looks at, are read in place and
    unchecked.
    """

    def __init__(self, path: Path) -> None:
        """Reads the summary; without a usable one, looks through all records.

        Raises:
            SourceError: not an mcap file.
        """
        self.path = path
        self.damage: str | None = None
        self._read = FileBytes(path)
        self._channels = Channels(path)
        self._chunks: list[ChunkIndex] = []
        # Times and offsets of messages that no index lists: by number of the chunk, -1 for those
        # outside of chunks, then by channel.
        self._scanned: dict[int, dict[int, list[tuple[int, int]]]] = {}
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._by_channel: dict[int, list[int]] | None = None
        self._intact: dict[int, bool] = {}
        self._unpacked: dict[int, int] = {}
        self._left = unpacked_most(self._read.size)
        self._index_of: dict[int, tuple[int, int]] = {}
        if self._read(0, len(_MAGIC)) != _MAGIC:
            raise SourceError(f"{path} is no mcap file ({self._read.size} bytes): copy it again")
        if not self._read_summary():
            self._scan()
        self.topics = self._channels.topics()

    def index(self, topic: str, file: int) -> list[Entry]:
        """See `Storage`."""
        channels = self._channels.of(topic)
        found: list[Entry] = []
        for chunk in (-1, *self._chunks_of(channels)):
            for channel in channels:
                found += [Entry(t, file, chunk, at) for t, at in self._offsets(chunk, channel)]
            if len(found) > BAG_MESSAGES:
                raise SourceError(f"{self.path}: {topic} has more than {BAG_MESSAGES} messages")
        return found

    def _chunks_of(self, channels: list[int]) -> list[int]:
        """Numbers of the chunks that may have messages of some channels, in order."""
        if self._by_channel is None:
            self._by_channel = {}
            for number, chunk in enumerate(self._chunks):
                indexed = number not in self._scanned and chunk.message_index_offsets
                for channel in indexed or (_ANY,):
                    self._by_channel.setdefault(channel, []).append(number)
        return sorted({n for c in (_ANY, *channels) for n in self._by_channel.get(c, ())})

    def read(self, entry: Entry) -> bytes | memoryview:
        """See `Storage`."""
        if entry.chunk >= 0 and not self._chunks[entry.chunk].compression:
            self._check_crc(entry.chunk)
        take, begin, length = self._message(entry)
        return take(begin, length)

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """See `Storage`."""
        take, begin, length = self._message(entry)
        end = take(begin + max(0, length - tail), min(tail, length))
        return Peek(length, bytes(take(begin, min(head, length))), bytes(end))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the decompressed chunks out."""
        return {**self.__dict__, "_cache": OrderedDict()}

    def _message(self, entry: Entry) -> tuple[Take, int, int]:
        """Where a message's bytes are: a reader of its chunk or file, begin and length."""
        chunk = self._chunks[entry.chunk] if entry.chunk >= 0 else None
        take: Take = self._read
        at, size = entry.place, self._read.size
        if chunk is not None and chunk.compression:
            records = memoryview(self._records(entry.chunk))
            take, size = (lambda start, count: records[start : start + count]), len(records)
        elif chunk is not None:
            at += chunk.chunk_start_offset + _CHUNK_HEAD_BYTES
        head = take(at, _MESSAGE_HEAD.size)
        if len(head) < _MESSAGE_HEAD.size or head[0] != Opcode.MESSAGE:
            raise DamagedError("there is no message at the position that the index gives")
        begin = at + _MESSAGE_HEAD.size
        end = at + _RECORD_HEAD.size + int.from_bytes(head[1 : _RECORD_HEAD.size], "little")
        if not begin <= end <= size:
            raise DamagedError("the file ends within the message")
        return take, begin, end - begin

    def _check_crc(self, number: int) -> None:
        """Checks an uncompressed chunk once. Raises DamagedError."""
        if number not in self._intact:
            chunk = self._chunks[number]
            at = chunk.chunk_start_offset + _CHUNK_HEAD_BYTES
            self._intact[number] = crc_fits(self._read, at, chunk.compressed_size)
        if not self._intact[number]:
            raise DamagedError("its chunk is damaged: the CRC is wrong")

    def _records(self, number: int) -> bytes:
        """A chunk's records, decompressed. Raises DamagedError."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        chunk = self._chunks[number]
        if chunk.compression not in _COMPRESSIONS:
            raise DamagedError(f"chunk compression {chunk.compression!r} is not supported")
        start = chunk.chunk_start_offset
        try:
            record = Chunk.read(stream_of(self._read(start + _RECORD_HEAD.size, 64)))
            begin = start + _CHUNK_HEAD_BYTES + len(chunk.compression)
            record.data = self._read(begin, chunk.compressed_size)
            self._spend(number, record.uncompressed_size)
            data = decompressed(record, len(record.data) == chunk.compressed_size)
        except _DAMAGE as error:
            raise DamagedError(f"a chunk is damaged ({error})") from error
        # The messages of one frame may lie in neighbouring chunks.
        while self._cache and sum(map(len, self._cache.values())) + len(data) > _CACHE_BYTES:
            self._cache.popitem(last=False)
        self._cache[number] = data
        return data

    def _spend(self, number: int, size: int) -> None:
        """Counts what chunks unpack to, each once. Raises ValueError beyond what a bag has."""
        if number not in self._unpacked:
            self._unpacked[number] = size
            self._left -= size
        if self._left < 0:
            raise ValueError("the chunks unpack to more than a recording holds")

    def _offsets(self, number: int, channel: int) -> list[tuple[int, int]]:
        """Times and offsets of a channel's messages in a chunk, or outside of chunks (-1)."""
        if number >= 0 and number not in self._scanned:
            indexes = self._chunks[number].message_index_offsets
            if indexes and channel not in indexes:
                return []
            try:
                if indexes:
                    return self._message_index(indexes[channel], number, channel)
                self._scanned[number] = self._scan_chunk(number)
            except DamagedError as error:
                self.damage = self.damage or f"{self.path.name}: {error}"
                self._scanned[number] = {}
        return self._scanned.get(number, {}).get(channel, [])

    def _message_index(self, at: int, number: int, channel: int) -> list[tuple[int, int]]:
        # Shared by chunks, a small index would be read as often as there are chunks.
        if self._index_of.setdefault(at, (number, channel)) != (number, channel):
            raise DamagedError("two chunks share a message index")
        head = self._read(at, _RECORD_HEAD.size)
        length = int.from_bytes(head[1:], "little")
        try:
            index = MessageIndex.read(stream_of(self._read(at + _RECORD_HEAD.size, length)))
        except _DAMAGE as error:
            raise DamagedError(f"a message index is damaged ({error})") from error
        if head[0] != Opcode.MESSAGE_INDEX or index.channel_id != channel:
            raise DamagedError("a chunk's index does not lead to a message index")
        return list(index.records)

    def _read_summary(self) -> bool:
        """Reads schemas, channels and chunks from the file's end; False if it lacks some."""
        try:
            # First, as a summary of any size would be parsed.
            if summary_is_long(self._read):
                return False
            intact = summary_is_intact(self._read)
            if intact:
                with os.fdopen(open_regular(self.path), "rb") as file:
                    limit = min(self._read.size, BAG_SUMMARY_BYTES)
                    summary = SeekingReader(file, record_size_limit=limit).get_summary()
        except (*_DAMAGE, OSError):
            return False
        if not intact:
            self.damage = f"{self.path.name}: the summary is damaged"
            return False
        if summary is None or not summary.chunk_indexes:
            return False
        self._channels.take(summary)
        self._chunks = sorted(summary.chunk_indexes, key=lambda chunk: chunk.chunk_start_offset)
        if self._find_channels():
            return True
        self._channels.clear()
        self._chunks = []
        return False

    def _find_channels(self) -> bool:
        """Whether all channels and schemas are known, at last from the chunks that need them.

        A writer may leave them out of the summary, and always writes them before their messages.
        """
        for number, chunk in enumerate(self._chunks):
            if not self._channels.known(chunk):
                try:
                    self._scan_chunk(number)
                except DamagedError:
                    return False
        return bool(self._channels) and all(map(self._channels.known, self._chunks))

    def _scan(self) -> None:
        """Looks through all records; a chunk in which the file ends is read as far as it goes."""
        outside: dict[int, list[tuple[int, int]]] = {}
        at, ended = len(_MAGIC), False
        while not ended and at + _RECORD_HEAD.size <= self._read.size:
            opcode, length = _RECORD_HEAD.unpack(self._read(at, _RECORD_HEAD.size))
            start, at = at, at + _RECORD_HEAD.size + length
            if at > self._read.size and opcode != Opcode.CHUNK:
                break
            try:
                if opcode == Opcode.CHUNK:
                    self._add_chunk(start, at - start)
                elif opcode == Opcode.MESSAGE:
                    head = _MESSAGE_HEAD.unpack(self._read(start, _MESSAGE_HEAD.size))
                    outside.setdefault(head[2], []).append((head[4], start))
                elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self._channels.note(opcode, self._read(start + _RECORD_HEAD.size, length))
                ended = opcode in (Opcode.DATA_END, Opcode.FOOTER)
            except (DamagedError, *_DAMAGE) as error:
                self.damage = self.damage or f"{self.path.name}: {error}"
        if not ended:
            self.damage = f"{self.path.name} is cut off"
        self._scanned[-1] = outside

    def _add_chunk(self, start: int, length: int) -> None:
        """Notes a chunk that no summary lists, and its messages. Raises DamagedError."""
        head = Chunk.read(stream_of(self._read(start + _RECORD_HEAD.size, 64)))
        chunk = ChunkIndex(
            chunk_start_offset=start,
            chunk_length=length,
            compression=head.compression,
            compressed_size=length - _CHUNK_HEAD_BYTES - len(head.compression),
            uncompressed_size=head.uncompressed_size,
            message_start_time=head.message_start_time,
            message_end_time=head.message_end_time,
            message_index_offsets={},
            message_index_length=0,
        )
        self._chunks.append(chunk)
        number = len(self._chunks) - 1
        self._scanned[number] = {}
        self._scanned[number] = self._scan_chunk(number)

    def _scan_chunk(self, number: int) -> dict[int, list[tuple[int, int]]]:
        """Notes a chunk's schemas and channels; times and offsets of its messages by channel."""
        found: dict[int, list[tuple[int, int]]] = {}
        data = self._records(number)
        at = 0
        while at + _RECORD_HEAD.size <= len(data):
            opcode, length = _RECORD_HEAD.unpack_from(data, at)
            start, at = at, at + _RECORD_HEAD.size + length
            if at > len(data):
                break
            if opcode == Opcode.MESSAGE and at - start >= _MESSAGE_HEAD.size:
                head = _MESSAGE_HEAD.unpack_from(data, start)
                found.setdefault(head[2], []).append((head[4], start))
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._channels.note(opcode, data[start + _RECORD_HEAD.size : at])
        return found
