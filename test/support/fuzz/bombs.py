# SPDX-License-Identifier: Apache-2.0
"""Small inputs that once took gigabytes, minutes, or the process: made here, tried in test/fuzz."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import bags
import cv2
import lz4.frame
import numpy as np
from mcap.writer import CompressionType

from fuzz.mutations import Files

GIB = 2**30


def jpeg(width: int = 65000, height: int = 50000) -> Files:
    """A header of any size, behind it a few bytes."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return {"a.jpg": bytes(data)}


def progressive_jpeg() -> Files:
    """A scan of nothing, again and again: each goes through the whole image."""
    image = np.zeros((4000, 6000, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    begin = data.rindex(b"\xff\xda")
    return {"a.jpg": data[:-2] + data[begin:-2] * 2000 + data[-2:]}


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + crc.to_bytes(4, "big")


def png() -> Files:
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(2**20))
    parts = (_png_chunk(b"IHDR", head), _png_chunk(b"IDAT", body), _png_chunk(b"IEND", b""))
    return {"a.png": b"\x89PNG\r\n\x1a\n" + b"".join(parts)}


def behind_png(suffix: str) -> Files:
    """A picture of another format behind .png."""
    image = np.zeros((8, 8, 3), np.float32 if suffix in (".hdr", ".exr") else np.uint8)
    if suffix == ".exr":
        return {"a.png": b"\x76\x2f\x31\x01" + bytes(100)}
    return {"a.png": cv2.imencode(suffix, image)[1].tobytes()}


def tiff() -> Files:
    data = bytearray(cv2.imencode(".tif", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for number in range(count):
        entry = at + 2 + 12 * number
        if struct.unpack_from("<H", data, entry)[0] in (256, 257):
            struct.pack_into("<HII", data, entry + 2, 4, 1, 100_000)
    return {"a.tif": bytes(data)}


def _mcap(folder: Path, compression: str, change: Callable[[bytes], bytes], stated: int) -> Files:
    """A bag whose only chunk unpacks to something else than it states."""
    rows = list(bags.serialised(bags.calibrated(2)))
    path = folder / "b.mcap"
    folder.mkdir(parents=True, exist_ok=True)
    bags.write_mcap(path, rows, compression=CompressionType[compression], enable_crcs=False)
    data = path.read_bytes()
    at = data.index(compression.lower().encode()) + len(compression)
    (size,) = struct.unpack_from("<Q", data, at)
    packed = change(data[at + 8 : at + 8 + size])
    head = at - len(compression) - 4 - 28 - 9
    record = bytearray(data[head : at + 8])
    struct.pack_into("<Q", record, 1, len(record) - 9 + len(packed))
    struct.pack_into("<Q", record, 9 + 16, stated)
    struct.pack_into("<Q", record, len(record) - 8, len(packed))
    # Without the rest there is no summary: the file is read record by record.
    return {"b.mcap": data[:head] + bytes(record) + packed}


def _zeros(count: int) -> bytes:
    """Zeros as a frame of zstd: blocks of 128 KiB, each in four bytes (RFC 8878)."""
    block = (1 << 1 | 2**17 << 3).to_bytes(3, "little") + b"\0"
    last = (1 | 1 << 1 | 2**17 << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x38" + block * (count // 2**17 - 1) + last


def zstd_chunk(folder: Path, stated: int = 2**40) -> Files:
    return _mcap(folder, "ZSTD", lambda _: _zeros(4 * GIB), stated)


def lz4_chunk(folder: Path, stated: int = 2**40) -> Files:
    def packed(_: bytes) -> bytes:
        size = lz4.frame.BLOCKSIZE_MAX4MB
        packer = lz4.frame.LZ4FrameCompressor(block_size=size, block_linked=False)
        head = packer.begin()
        return head + packer.compress(bytes(2**22)) * 600 + bytes(4)

    return _mcap(folder, "LZ4", packed, stated)


def zstd_file(folder: Path) -> Files:
    return {"b.mcap.zstd": _zeros(4 * GIB)}


def zstd_message(folder: Path) -> Files:
    rows = []
    for topic, kind, time, data, text in bags.serialised(bags.calibrated(1)):
        rows.append((topic, kind, time, _zeros(2 * GIB) if kind == bags.IMAGE else data, text))
    folder.mkdir(parents=True, exist_ok=True)
    path = bags.write_mcap(folder / "b.mcap", rows)
    return {"b.mcap": path.read_bytes()}


def shared_index(folder: Path) -> Files:
    """Thousands of chunks in the summary that all lead to one message index."""
    from mcap.data_stream import RecordBuilder
    from mcap.records import ChunkIndex, Footer, MessageIndex

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "b.mcap"
    rows = list(bags.serialised(bags.calibrated(1)))
    bags.write_mcap(path, rows, compression=CompressionType.NONE, enable_crcs=False)
    data = path.read_bytes()
    from mcap.reader import make_reader

    summary = make_reader(io.BytesIO(data)).get_summary()
    assert summary is not None
    (chunk,) = summary.chunk_indexes
    index = RecordBuilder()
    (image,) = (n for n, c in summary.channels.items() if c.topic.endswith("image_raw"))
    MessageIndex(image, [(i, 0) for i in range(20_000)]).write(index)
    end = data.index(b"\x0f" + (4).to_bytes(8, "little"), chunk.chunk_start_offset)  # DataEnd
    at = end
    rest = RecordBuilder()
    for record in (*summary.schemas.values(), *summary.channels.values()):
        record.write(rest)
    for _ in range(5000):
        ChunkIndex(
            chunk_start_offset=chunk.chunk_start_offset,
            chunk_length=chunk.chunk_length,
            message_start_time=0,
            message_end_time=9,
            message_index_offsets={image: at},
            message_index_length=0,
            compression="",
            compressed_size=chunk.compressed_size,
            uncompressed_size=chunk.uncompressed_size,
        ).write(rest)
    inner, tail = index.end(), rest.end()
    ended = b"\x0f" + (4).to_bytes(8, "little") + bytes(4)
    start = at + len(inner) + len(ended)
    footer = RecordBuilder()
    Footer(start, 0, 0).write(footer)
    return {"b.mcap": data[:at] + inner + ended + tail + footer.end() + data[-8:]}


def many_channels(folder: Path) -> Files:
    from mcap.writer import Writer

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "b.mcap"
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=100, compression=CompressionType.NONE)
        writer.start("ros2", "test")
        schema = writer.register_schema(bags.IMAGE, "ros2msg", b"")
        channels = [writer.register_channel(f"/c{i}/image", "cdr", schema) for i in range(5000)]
        for channel in channels:
            writer.add_message(channel, 1, b"\0\1\0\0" + bytes(60), 1)
        writer.finish()
    return {"b.mcap": path.read_bytes()}


IDL = "module sensor_msgs { module msg { struct Image { " + "sequence<" * 3000 + " }; }; };"


def foreign_definition(folder: Path) -> Files:
    """A definition that took its parser 12 seconds, and memory for 30 million strings."""
    rows = [
        (topic, kind, time, data, f"string[30000000] a\n{IDL}")
        for topic, kind, time, data, _ in bags.serialised(bags.calibrated(1))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    return {"b.mcap": bags.write_mcap(folder / "b.mcap", rows).read_bytes()}


def endless_view(folder: Path) -> Files:
    """Views that never end in place of the tables of a bag."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "b.db3"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as base:
        endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS id"
        base.execute(f"CREATE VIEW topics AS {endless}, 'a' || n AS name, 'b' AS type FROM c")
        base.execute(f"CREATE VIEW messages AS {endless}, 1 AS topic_id, n AS timestamp FROM c")
    base.close()
    return {"b.db3": path.read_bytes()}


def shared_pages(folder: Path) -> Files:
    """A table of few pages that lead to one another: 450^6 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "b.db3"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT)")
        base.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, "
            "data BLOB)"
        )
        base.execute("INSERT INTO topics VALUES (1, '/image', ?)", (bags.IMAGE,))
        base.execute("INSERT INTO messages VALUES (1, 2, 3, x'00')")
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
        (root,) = base.execute(query).fetchone()
    base.close()
    data = bytearray(path.read_bytes())
    size, levels = 4096, 6
    count = len(data) // size
    # An interior page (sqlite.org/fileformat.html): all its cells are one, which names the next.
    pages = [bytes(data[(root - 1) * size : root * size])]
    for level in range(levels):
        child = (count + 1 + level).to_bytes(4, "big")
        head = b"\5\0\0" + (450).to_bytes(2, "big") + (size - 5).to_bytes(2, "big") + b"\0" + child
        page = head + (size - 5).to_bytes(2, "big") * 450
        pages.append(page + bytes(size - 5 - len(page)) + child + b"\1")
    data[(root - 1) * size : root * size] = pages.pop()
    data += b"".join(pages)
    data[28:32] = (len(data) // size).to_bytes(4, "big")
    return {"b.db3": bytes(data)}


def computed_column(folder: Path) -> Files:
    """A table whose rows compute for ever."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "b.db3"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, type TEXT, x)")
        base.executemany("INSERT INTO topics(type, x) VALUES (?, ?)", [(bags.IMAGE, "a")] * 2000)
        slow = "length(hex(zeroblob(100000000)))"
        base.execute(f"ALTER TABLE topics ADD COLUMN name AS (x || {slow})")
        base.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, "
            "data BLOB)"
        )
    base.close()
    return {"b.db3": path.read_bytes()}


def many_markers() -> bytes:
    """The head of a MarkerArray that says it has four billion markers."""
    return b"\0\1\0\0" + (2**32 - 1).to_bytes(4, "little") + bytes(3_000_000)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
"""474 bytes that were 3.9 GB in an error message."""


def weights(header: object, body: bytes = b"") -> bytes:
    """A safetensors file."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def pth(size: int = 3 * GIB) -> bytes:
    """An archive of torch.save whose record unpacks to gigabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a/data.pkl", "w", force_zip64=True) as file:
            for _ in range(size // 2**24):
                file.write(bytes(2**24))
        archive.writestr("a/version", "3\n")
    return buffer.getvalue()
