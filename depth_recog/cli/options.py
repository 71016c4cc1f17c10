# SPDX-License-Identifier: Apache-2.0
"""What several verbs take on their command lines."""

from __future__ import annotations

import argparse
import math
import re


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


def rate(text: str) -> float:
    """Frames per second, 0 for the source's own."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} Hz: a number from 0 to 1000 is needed")
    return value


def frame_range(text: str) -> range:
    """Frames A to B - 1 of "A:B"; an empty A is the first, an empty B the last."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    frames = range(0)
    if match:
        frames = range(int(match[1] or 0), int(match[2]) if match[2] else 2**31)
    if not frames:
        raise argparse.ArgumentTypeError(f"{text!r}: frames as A:B, A below B, are needed")
    return frames


def part_of_source(text: str) -> tuple[str, range | None]:
    """A source, and which of its frames where "@A:B" follows."""
    source, at, part = text.rpartition("@")
    if not at or not re.fullmatch(r"\d*:\d*", part):
        return text, None
    return source, frame_range(part)
