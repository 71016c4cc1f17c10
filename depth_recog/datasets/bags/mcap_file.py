# SPDX-License-Identifier: Apache-2.0
"""An mcap file of a bag: by its index where it has one, by its records where it was cut off."""

from __future__ import annotations

import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.bags import mcap_records as mcap
from depth_recog.datasets.bags.storage import DamagedError, Entry, Peek, Slices, Topic
from depth_recog.errors import SourceError

_FOOTER_BYTES = mcap.RECORD_HEAD + 20 + len(mcap.MAGIC)
_CACHE_BYTES = 64 * 2**20
_PIECE = 2**20


class McapFile:
    """See `Storage`. Messages of chunks without compression are read where they lie."""

    def __init__(self, path: Path) -> None:
        """Reads the index, or looks through the records where there is none.

        Raises:
            SourceError: not an mcap file.
        """
        self.path = path
        self.damage: str | None = None
        self._read = Slices(path)
        self._size = self._read.size
        self._schemas: dict[int, mcap.Schema] = {}
        self._channels: dict[int, mcap.Channel] = {}
        self._chunks: list[mcap.Chunk] = []
        # By channel, the (N, 2) times and offsets of a chunk whose index was not in the file.
        self._scanned: dict[int, dict[int, NDArray[np.uint64]]] = {}
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        if self._read(0, len(mcap.MAGIC)) != mcap.MAGIC:
            raise SourceError(f"{path} is no mcap file ({self._size} bytes): copy it again")
        if not self._read_summary():
            self._scan()
        self.topics = {c.topic: self._topic(c) for c in self._channels.values()}

    def index(self, topic: str, file: int) -> list[Entry]:
        """See `Storage`."""
        numbers = [n for n, c in self._channels.items() if c.topic == topic]
        return [
            Entry(time, file, place, offset)
            for place in (-1, *range(len(self._chunks)))
            for number in numbers
            for time, offset in self._offsets(place, number)
        ]

    def read(self, entry: Entry) -> bytes | memoryview:
        """See `Storage`."""
        begin, length = self._message(entry)
        if self._packed(entry):
            return memoryview(self._records(entry.chunk))[begin : begin + length]
        data = self._read(begin, length)
        if len(data) < length:
            raise DamagedError("the file ends in it")
        return data

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """See `Storage`."""
        begin, length = self._message(entry)
        if self._packed(entry):
            data = memoryview(self._records(entry.chunk))[begin : begin + length]
            return Peek(length, bytes(data[:head]), bytes(data[max(0, length - tail) :]))
        end = self._read(begin + max(0, length - tail), min(tail, length)) if tail else b""
        return Peek(length, self._read(begin, min(head, length)), end)

    def __getstate__(self) -> dict[str, Any]:
        """What was unpacked stays behind."""
        return {**self.__dict__, "_cache": OrderedDict()}

    def _topic(self, channel: mcap.Channel) -> Topic:
        schema = self._schemas.get(channel.schema, mcap.Schema("", "", ""))
        return Topic(channel.topic, schema.name, schema.encoding, schema.definition)

    def _packed(self, entry: Entry) -> bool:
        return entry.chunk >= 0 and bool(self._chunks[entry.chunk].compression)

    def _message(self, entry: Entry) -> tuple[int, int]:
        """Begin and length of a message's bytes, in its unpacked chunk or in the file."""
        if self._packed(entry):
            at, data = entry.place, self._records(entry.chunk)
            head = data[at : at + mcap.RECORD_HEAD]
            size = len(data)
        else:
            at = entry.place + (self._chunks[entry.chunk].start if entry.chunk >= 0 else 0)
            head, size = self._read(at, mcap.RECORD_HEAD), self._size
        if len(head) < mcap.RECORD_HEAD or head[0] != mcap.MESSAGE:
            raise DamagedError("there is no message where the index says")
        length = int.from_bytes(head[1:], "little") - mcap.MESSAGE_HEAD
        begin = at + mcap.RECORD_HEAD + mcap.MESSAGE_HEAD
        if length < 0 or begin + length > size:
            raise DamagedError("the file ends in it")
        return begin, length

    def _records(self, number: int) -> bytes:
        """A chunk's records, unpacked. Raises DamagedError."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        chunk = self._chunks[number]
        packed = self._read(chunk.start, chunk.compressed)
        data = mcap.unpack(packed, chunk.compression, len(packed) == chunk.compressed)
        # Camera and camera_info of one frame may lie in neighbouring chunks.
        while self._cache and sum(map(len, self._cache.values())) + len(data) > _CACHE_BYTES:
            self._cache.popitem(last=False)
        self._cache[number] = data
        return data

    def _offsets(self, place: int, number: int) -> list[tuple[int, int]]:
        """Times and places of a channel's messages in a chunk, or outside of all."""
        if place >= 0 and place not in self._scanned:
            chunk = self._chunks[place]
            if chunk.indexes and number not in chunk.indexes:
                return []
            try:
                if chunk.indexes:
                    table = self._message_index(chunk.indexes[number], number)
                    return [(int(t), int(o)) for t, o in table.tolist()]
                self._scanned[place] = self._scan_records(self._records(place))
            except DamagedError as error:
                self.damage = self.damage or f"{self.path.name}: {error}"
                self._scanned[place] = {}
        empty = np.empty((0, 2), np.uint64)
        table = self._scanned.get(place, {}).get(number, empty)
        return [(int(t), int(o)) for t, o in table.tolist()]

    def _message_index(self, at: int, number: int) -> NDArray[np.uint64]:
        head = self._read(at, mcap.RECORD_HEAD)
        if len(head) < mcap.RECORD_HEAD or head[0] != mcap.MESSAGE_INDEX:
            raise DamagedError("its index leads nowhere")
        content = self._read(at + mcap.RECORD_HEAD, int.from_bytes(head[1:], "little"))
        found, table = mcap.message_index(content)
        if found != number:
            raise DamagedError("its index leads nowhere")
        return table

    def _read_summary(self) -> bool:
        """Schemas, channels and chunks from the file's end; False where it has none."""
        footer = self._read(max(0, self._size - _FOOTER_BYTES), _FOOTER_BYTES)
        if not footer.endswith(mcap.MAGIC) or footer[0] != mcap.FOOTER:
            return False
        (start,) = struct.unpack_from("<Q", footer, mcap.RECORD_HEAD)
        if not 0 < start < self._size:
            return False
        data = self._read(start, self._size - start)
        try:
            for opcode, begin, end in mcap.records(data):
                if opcode == mcap.CHUNK_INDEX:
                    self._chunks.append(mcap.chunk_index(data[begin:end]))
                else:
                    self._note(opcode, data[begin:end])
        except DamagedError:
            self._chunks.clear()
        # Without chunks, or without channels, the summary leads to no message.
        return bool(self._chunks and self._channels)

    def _note(self, opcode: int, content: bytes | memoryview) -> None:
        if opcode == mcap.SCHEMA:
            number, schema = mcap.schema(content)
            self._schemas[number] = schema
        elif opcode == mcap.CHANNEL:
            number, channel = mcap.channel(content)
            self._channels[number] = channel

    def _scan(self) -> None:
        """Looks through all records; what was cut off is saved as far as it goes."""
        loose: dict[int, list[tuple[int, int]]] = {}
        at, ended = len(mcap.MAGIC), False
        while at + mcap.RECORD_HEAD <= self._size:
            opcode, length = struct.unpack("<BQ", self._read(at, mcap.RECORD_HEAD))
            begin, at = at + mcap.RECORD_HEAD, at + mcap.RECORD_HEAD + length
            try:
                if opcode == mcap.CHUNK:
                    self._scan_chunk(begin)
                elif at > self._size:
                    break
                elif opcode == mcap.MESSAGE:
                    number, _, time, _ = struct.unpack(
                        "<HIQQ", self._read(begin, mcap.MESSAGE_HEAD)
                    )
                    loose.setdefault(number, []).append((time, begin - mcap.RECORD_HEAD))
                elif opcode in (mcap.SCHEMA, mcap.CHANNEL):
                    self._note(opcode, self._read(begin, length))
                elif opcode in (mcap.DATA_END, mcap.FOOTER):
                    ended = True
                    break
            except (DamagedError, struct.error) as error:
                self.damage = self.damage or f"{self.path.name}: {error}"
        if not ended:
            self.damage = f"{self.path.name} is cut off"
        self._scanned[-1] = {n: np.array(rows, np.uint64) for n, rows in loose.items()}

    def _scan_chunk(self, begin: int) -> None:
        chunk = mcap.chunk(self._read(begin, 64), begin)
        self._chunks.append(chunk)
        place = len(self._chunks) - 1
        self._scanned[place] = {}
        self._scanned[place] = self._scan_records(self._records(place))

    def _scan_records(self, data: bytes) -> dict[int, NDArray[np.uint64]]:
        """Notes a chunk's schemas and channels; times and offsets of its messages by channel."""
        found: dict[int, list[tuple[int, int]]] = {}
        view = memoryview(data)
        for opcode, begin, end in mcap.records(view):
            if opcode == mcap.MESSAGE and end - begin >= mcap.MESSAGE_HEAD:
                number, _, time, _ = struct.unpack_from("<HIQQ", view, begin)
                found.setdefault(number, []).append((time, begin - mcap.RECORD_HEAD))
            else:
                self._note(opcode, view[begin:end])
        return {n: np.array(rows, np.uint64) for n, rows in found.items()}
