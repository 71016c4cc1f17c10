# SPDX-License-Identifier: Apache-2.0
"""Decoding of image files, of disks, bags and topics alike: one rule for what is cut off.

An image is whole if its decoder reaches the image's end mark. What follows behind the mark is not
the image's: buffers are padded or hold leftovers, and phones append a video.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG = b"\xff\xd8"
TIFF = b"II*\0", b"MM\0*"
PNG = b"\x89PNG\r\n\x1a\n"

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
"""The next marker of a JPEG: FF 00 is data, several FF are padding (ITU-T T.81, B.1.1.2)."""
_END_OF_IMAGE, _START_OF_IMAGE, _TEM = 0xD9, 0xD8, 0x01
_RESTARTS = range(0xD0, 0xD8)


def decode(data: bytes, flags: int) -> NDArray[np.generic] | None:
    """Decodes an image file as cv2.imdecode does.

    Returns:
        What cv2.imdecode does for `flags`; None for a file that is cut off, damaged, or no image.
    """
    # Some versions of OpenCV fill what is missing with grey and report success.
    if not data or is_cut_off(data):
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # for example a header with an impossible size
        return None


def is_cut_off(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG is missing; False for other files."""
    if data.startswith(JPEG):
        return not _reaches_end_of_jpeg(data)
    return data.startswith(PNG) and not _reaches_end_of_png(data)


def has_end_mark(head: bytes, tail: bytes) -> bool:
    """Whether the first and last bytes alone show that a file is whole.

    Args:
        head: the first eight bytes.
        tail: the last bytes, which may be padded with zeros.
    """
    end = tail.rstrip(b"\0")
    if head.startswith(JPEG):
        return end.endswith(b"\xff\xd9")
    return not head.startswith(PNG) or end.endswith(b"IEND\xaeB`\x82")


def _reaches_end_of_jpeg(data: bytes) -> bool:
    """Whether a decoder that goes from marker to marker finds "end of image".

    A thumbnail has an end mark too, but lies within a segment, which is skipped by its length.
    """
    at = len(JPEG)
    while marker := _MARKER.search(data, at):
        code, at = marker[1][0], marker.end()
        if code == _END_OF_IMAGE:
            return True
        if code not in _RESTARTS and code not in (_START_OF_IMAGE, _TEM):
            at += int.from_bytes(data[at : at + 2], "big")
    return False


def _reaches_end_of_png(data: bytes) -> bool:
    """Whether a decoder that goes from chunk to chunk finds a whole IEND."""
    at = len(PNG)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False
