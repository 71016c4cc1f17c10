# SPDX-License-Identifier: Apache-2.0
"""The size of an encoded image by its first bytes, read before anything is decoded.

The first bytes also decide the format: OpenCV would take an OpenEXR or a Radiance file behind any
name.
"""

from __future__ import annotations

import re
import struct

from depth_recog.errors import EncodingError
from depth_recog.limits import IMAGE_PIXELS, JPEG_SCANS

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n"
TIFF = b"II*\0", b"MM\0*"
BMP = b"BM"
WEBP = b"RIFF", b"WEBP"

MARKER = re.compile(rb"\xff+([^\x00\xff])")
"""The next marker of a JPEG: FF 00 is data, several FF are padding (ITU-T T.81, B.1.1.2)."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}
_WIDTH, _HEIGHT = 256, 257
"""Tags of TIFF."""


def check_size(data: bytes) -> None:
    """Check that an image is of a known format and not too large to decode.

    Args:
        data: the file, as a whole.

    Raises:
        EncodingError: the format is unknown, the size is missing, or it is too large.
    """
    try:
        width, height = size_of(data)
    except (struct.error, IndexError) as error:
        raise EncodingError("its size cannot be read: it is damaged or cut off") from error
    if width * height > IMAGE_PIXELS:
        raise EncodingError(
            f"it has {width}x{height} pixels, more than {IMAGE_PIXELS}: send a smaller image"
        )


def size_of(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels; of a JPEG or TIFF with several images, of the largest one.

    Raises:
        EncodingError: the format is unknown.
        struct.error, IndexError: the size is missing.
    """
    if data.startswith(JPEG):
        return _of_jpeg(data)
    if data.startswith(PNG):
        width, height = struct.unpack_from(">II", data, 16)
        return int(width), int(height)
    if data.startswith(TIFF):
        return _of_tiff(data)
    if data.startswith(BMP):
        if int.from_bytes(data[14:18], "little") < 40:
            raise EncodingError("it is a BMP of OS/2, which is not read")
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(int(width)), abs(int(height))
    if data.startswith(WEBP[0]) and data[8:12] == WEBP[1]:
        return _of_webp(data)
    raise EncodingError("it is neither JPEG, PNG, TIFF, WebP nor BMP by its first bytes")


def _of_jpeg(data: bytes) -> tuple[int, int]:
    """From all frame headers; a thumbnail lies within a segment, which is skipped by its length."""
    at, scans = len(JPEG), 0
    sizes: list[tuple[int, int]] = []
    while marker := MARKER.search(data, at):
        code, at = marker[1][0], marker.end()
        if code == _END:
            break
        if code in _ALONE:
            continue
        if code in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            sizes.append((int(width), int(height)))
        scans += code == _SCAN
        if scans > JPEG_SCANS:
            raise EncodingError(f"it is a JPEG of more than {JPEG_SCANS} scans")
        at += int.from_bytes(data[at : at + 2], "big")
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else (0, 0)


def _of_tiff(data: bytes) -> tuple[int, int]:
    """From the first directory, which is the one that is decoded."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    found = {_WIDTH: 0, _HEIGHT: 0}
    for number in range(count):
        tag, kind, _ = struct.unpack_from(order + "HHI", data, at + 2 + 12 * number)
        if tag in found:
            form = {3: "H", 4: "I"}.get(kind)
            if form is None:
                raise EncodingError("it is a TIFF whose size is not a whole number")
            (value,) = struct.unpack_from(order + form, data, at + 10 + 12 * number)
            found[tag] = max(found[tag], int(value))
    return found[_WIDTH], found[_HEIGHT]


def _of_webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
