# SPDX-License-Identifier: Apache-2.0
"""Decoding of image files, of disks, bags and topics alike: one rule for what is cut off.

An image is whole if its decoder reaches the image's end mark. What follows behind the mark is not
the image's: buffers are padded or hold leftovers, and phones append a video.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import EncodingError
from depth_recog.interfaces.image_header import JPEG, MARKER, PNG, TIFF, check_size

__all__ = ["JPEG", "PNG", "TIFF", "decode", "has_end_mark", "is_cut_off"]

_END_OF_IMAGE, _START_OF_IMAGE, _TEM = 0xD9, 0xD8, 0x01
_RESTARTS = range(0xD0, 0xD8)


def decode(data: bytes, flags: int) -> NDArray[np.generic] | None:
    """Decodes an image file as cv2.imdecode does.

    Returns:
        What cv2.imdecode does for `flags`; None for a file that is cut off or damaged.

    Raises:
        EncodingError: it is no image of a known format, or too large.
    """
    # Some versions of OpenCV fill what is missing with grey and report success.
    if not data or is_cut_off(data):
        return None
    check_size(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # for example a header with an impossible size
        if error.code == cv2.Error.StsNoMem:
            raise EncodingError("the memory is not enough to decode it") from error
        return None
    # Of a colour image without pixels OpenCV returns an array that it cannot convert.
    return image if image is not None and image.size else None


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
    while marker := MARKER.search(data, at):
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
