# SPDX-License-Identifier: Apache-2.0
"""What several verbs take on their command lines."""

from __future__ import annotations

import argparse
import math
import re

from depth_recog.errors import SourceError


def frame_count(text: str) -> int:
    """A number of frames, at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} frames: a whole number from 1 on is needed")
    return int(text)


def jpeg_quality(text: str) -> int:
    """A JPEG's quality, 1 to 100."""
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to 100 is needed")
    return int(text)


def namespace(text: str) -> str:
    """A namespace of ROS, such as /camera; / for none."""
    if text != "/" and not re.fullmatch(r"(/?[A-Za-z_]\w*)(/[A-Za-z_]\w*)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no namespace: names of letters, digits and _, as in /camera/left"
        )
    return text


def _number(text: str) -> float:
    """NaN where it is none, which no range holds."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def rate(text: str) -> float:
    """Frames per second, 0 for the source's own."""
    value = _number(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} Hz: a number from 0 to 1000 is needed")
    return value


def metres(text: str) -> float:
    """A length above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} m: a number above 0 is needed")
    return value


def threshold(text: str) -> float:
    """Of a gate: above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 is needed")
    return value


def quantile(text: str) -> float:
    """A share of a distribution, 0.5 to 0.999."""
    value = _number(text)
    if not 0.5 <= value <= 0.999:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 0.5 to 0.999 is needed")
    return value


def seed(text: str) -> int:
    """Of what is left to chance, from 0 on."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 0 on is needed")
    return int(text)


_OPEN = 2**31


def frame_range(text: str) -> range:
    """Frames A to B - 1 of "A:B"; an empty A is the first, an empty B the last."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    frames = range(0)
    if match:
        frames = range(int(match[1] or 0), int(match[2]) if match[2] else _OPEN)
    if not frames:
        raise argparse.ArgumentTypeError(f"{text!r}: frames as A:B, A below B, are needed")
    return frames


def within(frames: range | None, count: int, source: str) -> range:
    """The frames that an option names, of a recording of `count`; all when it names none.

    Raises:
        SourceError: they do not all exist.
    """
    if frames is None:
        return range(count)
    stop = count if frames.stop == _OPEN else frames.stop
    if frames.start >= count or stop > count:
        last = "" if frames.stop == _OPEN else str(stop)
        raise SourceError(
            f"{source}: frames {frames.start}:{last} are asked for, but it has {count}: "
            f"name frames within 0:{count}"
        )
    return range(frames.start, stop)


def part_of_source(text: str) -> tuple[str, range | None]:
    """A source, and which of its frames where "@A:B" follows."""
    source, at, part = text.rpartition("@")
    if not at or not re.fullmatch(r"\d*:\d*", part):
        return text, None
    return source, frame_range(part)
