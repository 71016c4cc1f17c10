# SPDX-License-Identifier: Apache-2.0
"""The bytes of an mcap file: reading by position, checksums, chunks that were cut off."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Chunk

from depth_recog.files import open_regular
from depth_recog.limits import BAG_CHUNK_BYTES, BAG_SUMMARY_BYTES

_FOOTER = struct.Struct("<BQQQI8s")
"""The file's end: opcode, length, offsets of summary and summary offsets, CRC, magic bytes."""
_FOOTER_TAIL_BYTES = 12
"""What the CRC of the summary leaves out: itself and the magic bytes."""
_PIECE_BYTES = 2**20
_CRC_BYTES = 16
"""From the CRC in an uncompressed chunk's head to its records."""


class FileBytes:
    """Reads pieces of a file by position; can be pickled, forked and shared by threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._file: Any = None
        os.close(open_regular(path))

    def __call__(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start` on; fewer at the end. Raises OSError."""
        # A damaged index may hold any position and length.
        count = min(count, self.size - start)
        if self._file is None:
            self._file = os.fdopen(open_regular(self.path), "rb", 0)
        pieces: list[bytes] = []
        while count > 0 and (piece := os.pread(self._file.fileno(), count, start)):
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open file out."""
        return {**self.__dict__, "_file": None}


def crc_fits(read: FileBytes, at: int, size: int) -> bool:
    """Whether an uncompressed chunk's records have the CRC of its head; zero is none.

    Args:
        read: the file.
        at: where the records begin.
        size: of the records, bytes.
    """
    wanted = int.from_bytes(read(at - _CRC_BYTES, 4), "little")
    # Of a chunk in which the file ends, the messages that are there are read.
    if not wanted or at + size > read.size:
        return True
    crc, end = 0, at + size
    while at < end and (piece := read(at, min(_PIECE_BYTES, end - at))):
        crc = zlib.crc32(piece, crc)
        at += len(piece)
    return crc == wanted


def summary_is_long(read: FileBytes) -> bool:
    """Whether the summary is longer than it may be, which is logged. Raises struct.error."""
    opcode, _, start, *_ = _FOOTER.unpack(read(read.size - _FOOTER.size, _FOOTER.size))
    size = int(read.size) - int(start) if opcode == Opcode.FOOTER and start else 0
    if size > BAG_SUMMARY_BYTES:
        logging.getLogger(__name__).warning(
            "%s: its summary of %d bytes is longer than %d, so every record is read: record with "
            "larger chunks, or convert it with `ros2 bag convert`",
            *(read.path, size, BAG_SUMMARY_BYTES),
        )
    return bool(size > BAG_SUMMARY_BYTES)


def summary_is_intact(read: FileBytes) -> bool:
    """Whether the CRC of the summary, which the footer holds, is right; zero is none.

    False as well for one longer than `BAG_SUMMARY_BYTES`, which is not read.
    """
    footer = read(read.size - _FOOTER.size, _FOOTER.size)
    _, _, start, _, wanted, _ = _FOOTER.unpack(footer)
    end = read.size - _FOOTER_TAIL_BYTES
    if start == 0 or not wanted:
        return True
    return bool(end - start <= BAG_SUMMARY_BYTES and zlib.crc32(read(start, end - start)) == wanted)


def stream_of(content: bytes) -> ReadDataStream:
    """What the records of `mcap` are read from."""
    return ReadDataStream(BytesIO(content))


def decompressed(chunk: Chunk, whole: bool) -> bytes:
    """The records of a chunk.

    Args:
        chunk: of the sizes that its head states, which are believed only as limits.
        whole: whether its end is there; else the records are read as far as they go, and neither
            size nor CRC is checked.

    Raises:
        ValueError: it unpacks to more or less than it says, or the CRC is wrong.
        zstandard.ZstdError, RuntimeError: it is damaged.
    """
    most = min(chunk.uncompressed_size, BAG_CHUNK_BYTES)
    if chunk.compression == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(chunk.data) as stream:
            data = _pieces(stream.read, most + 1)
    elif chunk.compression == "lz4":
        data = bytes(lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, most + 1))
    else:
        data = chunk.data
    if len(data) > most or (whole and len(data) < chunk.uncompressed_size):
        raise ValueError(f"a chunk of {chunk.uncompressed_size} bytes unpacks to another size")
    if whole and chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError("the CRC is wrong")
    return data


def _pieces(read: Callable[[int], bytes], most: int) -> bytes:
    """Up to `most` bytes; memory grows with what comes, not with what is said."""
    found = bytearray()
    while len(found) < most and (piece := read(min(_PIECE_BYTES, most - len(found)))):
        found += piece
    return bytes(found)
