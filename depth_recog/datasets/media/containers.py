# SPDX-License-Identifier: Apache-2.0
"""Whether a video file is cut off, by the sizes in its container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from depth_recog.errors import SourceError
from depth_recog.files import open_regular

_HEAD_BYTES = 64
_MOST_BOXES = 10_000
_TEXT = frozenset(b"\t\n\r\0" + bytes(range(32, 127)))
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def check_file(path: Path) -> None:
    """Check that a file is no list that names other files, which ffmpeg would follow.

    Raises:
        SourceError: it is a text, as playlists and descriptions of sessions are, or cannot be read.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            head = file.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): restore it") from error
    if not head.startswith(b"RIFF") and len(head) > 4 and all(c in _TEXT for c in head[:16]):
        raise SourceError(
            f"{path} is no video but a text, as playlists are: give the video itself, or convert "
            "it with ffmpeg"
        )


def is_matroska(path: Path) -> bool:
    """Whether a file is .mkv or .webm, whose number of frames is always an estimate."""
    with path.open("rb") as file:
        return file.read(4) == _EBML.to_bytes(4, "big")


def matroska_is_cut_off(path: Path) -> bool:
    """Whether a .mkv or .webm is shorter than it says; False if it does not say, as of a stream."""
    with path.open("rb") as file:
        while (number := _number(file, keep_marker=True)) is not None:
            size = _number(file, keep_marker=False)
            if size is None:
                return False
            if number == _SEGMENT:
                return file.tell() + size > path.stat().st_size
            file.seek(size, 1)
    return True


def _number(file: BinaryIO, keep_marker: bool) -> int | None:
    """EBML's number of variable length; None at the end, or for "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value


def has_box(path: Path, name: bytes) -> bool:
    """Whether an MP4 file has a box of this name at its top level."""
    size, at, boxes = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            boxes += 1
            if boxes > _MOST_BOXES:
                return False
            length = int.from_bytes(head[:4], "big")
            if head[4:8] == name:
                return True
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            at += length
    return False
