# SPDX-License-Identifier: Apache-2.0
"""Videos with the times and metadata that real cameras write, byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

SIZE = (64, 48)


def picture(index: int) -> np.ndarray:
    """A grey frame whose brightness is its number."""
    return np.full((SIZE[1], SIZE[0], 3), 8 * index, np.uint8)


def brightness(image: np.ndarray) -> int:
    return round(float(image.mean()) / 8)


def _element(number: int, content: bytes, size: int | None = None) -> bytes:
    length = (number.bit_length() + 7) // 8
    known = len(content) if size is None else size
    marked = (1 << 56) | known if known >= 0 else (1 << 57) - 1
    return number.to_bytes(length, "big") + marked.to_bytes(8, "big") + content


def _whole(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(8, "big"))


def matroska(
    path: Path, times_ms: list[int], frame_ms: float | None = None, stream: bool = False
) -> Path:
    """Write MJPEG frames at these times.

    Args:
        path: .mkv.
        times_ms: of the frames.
        frame_ms: the duration of a frame that the header states, whatever the times are.
        stream: without a duration and with an unknown size, as a live recording.
    """
    header = _element(0x1A45DFA3, _element(0x4282, b"matroska") + _whole(0x4287, 4))
    info = _whole(0x2AD7B1, 1_000_000)
    if not stream:
        info += _element(0x4489, struct.pack(">d", times_ms[-1] + 100.0))
    video = _whole(0xB0, SIZE[0]) + _whole(0xBA, SIZE[1])
    track = _whole(0xD7, 1) + _whole(0x73C5, 1) + _whole(0x83, 1)
    track += _element(0x86, b"V_MJPEG") + _element(0xE0, video)
    if frame_ms is not None:
        track += _whole(0x23E383, round(frame_ms * 1e6))
    body = _element(0x1549A966, info) + _element(0x1654AE6B, _element(0xAE, track))
    for index, time in enumerate(times_ms):
        data = cv2.imencode(".jpg", picture(index))[1].tobytes()
        block = _element(0xA3, b"\x81" + struct.pack(">hB", 0, 0x80) + data)
        body += _element(0x1F43B675, _whole(0xE7, time) + block)
    path.write_bytes(header + _element(0x18538067, body, -1 if stream else None))
    return path


def mp4(path: Path, rotation: int = 0, frames: int = 6) -> Path:
    """Write a video; `rotation` degrees clockwise make it upright, as phones store it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, SIZE)
    assert writer.isOpened()
    for i in range(frames):
        frame = picture(i)
        frame[:16, :16] = 255  # the stored image's top left corner
        writer.write(frame)
    writer.release()
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation]
    one = 1 << 16
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path
