# SPDX-License-Identifier: Apache-2.0
"""Types of command-line arguments that several verbs share."""

from __future__ import annotations

import argparse
import math
import re

from depth_recog.errors import SourceError


def frame_count(text: str) -> int:
    """Parse a number of frames, at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} frames: a whole number from 1 on is needed")
    return int(text)


def jpeg_quality(text: str) -> int:
    """Parse a JPEG quality, 1 to 100."""
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to 100 is needed")
    return int(text)


def namespace(text: str) -> str:
    """Parse a ROS namespace such as /camera; / for none."""
    if text != "/" and not re.fullmatch(r"(/?[A-Za-z_]\w*)(/[A-Za-z_]\w*)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a namespace of letters, digits and _ is needed, such as /camera/left"
        )
    return text


def _number(text: str) -> float:
    """Parse a number; NaN, which is in no range, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def rate(text: str) -> float:
    """Parse a frame rate in Hz; 0 for the source's own."""
    value = _number(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} Hz: a number from 0 to 1000 is needed")
    return value


def metres(text: str) -> float:
    """Parse a length above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} m: a number above 0 is needed")
    return value


def threshold(text: str) -> float:
    """Parse a gate's threshold, above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 is needed")
    return value


def quantile(text: str) -> float:
    """Parse a quantile, 0.5 to 0.999."""
    value = _number(text)
    if not 0.5 <= value <= 0.999:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 0.5 to 0.999 is needed")
    return value


def seed(text: str) -> int:
    """Parse a random seed, 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 0 on is needed")
    return int(text)


_OPEN = 2**31


def frame_range(text: str) -> range:
    """Parse "A:B", frames A to B - 1; an empty A is the first frame, an empty B the last."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    frames = range(0)
    if match:
        frames = range(int(match[1] or 0), int(match[2]) if match[2] else _OPEN)
    if not frames:
        raise argparse.ArgumentTypeError(f"{text!r}: frames as A:B, A below B, are needed")
    return frames


def within(frames: range | None, count: int, source: str) -> range:
    """Return the chosen frames of a recording of `count` frames; all for None.

    Raises:
        SourceError: some of them do not exist.
    """
    if frames is None:
        return range(count)
    stop = count if frames.stop == _OPEN else frames.stop
    if frames.start >= count or stop > count:
        last = "" if frames.stop == _OPEN else str(stop)
        raise SourceError(
            f"{source}: frames {frames.start}:{last} do not exist, it has {count}: "
            f"give frames within 0:{count}"
        )
    return range(frames.start, stop)


def part_of_source(text: str) -> tuple[str, range | None]:
    """Split SOURCE@A:B into the source and its frames; None without @A:B."""
    source, at, part = text.rpartition("@")
    if not at or not re.fullmatch(r"\d*:\d*", part):
        return text, None
    return source, frame_range(part)
