# SPDX-License-Identifier: Apache-2.0
"""Types of command-line arguments that several verbs share."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from itertools import islice

from tqdm import tqdm

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.media.video import Video
from depth_recog.datasets.reader import Refused, numbered
from depth_recog.datasets.sequence import Frame, Recording, Sequence
from depth_recog.errors import SourceError


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range, ends included."""
    needed = f"from {least} on" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number {needed} is needed")
        return int(text)

    return parse


def real(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of numbers in a range, ends included."""

    def parse(text: str) -> float:
        value = _float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r}: a number from {least:g} to {most:g} is needed"
            )
        return value

    return parse


def positive(text: str) -> float:
    """Parse a number above 0."""
    value = _float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 is needed")
    return value


def _float(text: str) -> float:
    """Parse a number; NaN, which is in no range, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def namespace(text: str) -> str:
    """Parse a ROS namespace such as /camera; / for none."""
    if text != "/" and not re.fullmatch(r"(/?[A-Za-z_]\w*)(/[A-Za-z_]\w*)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a namespace of letters, digits and _ is needed, such as /camera/left"
        )
    return text


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for sources without calibration, which every verb with a SOURCE has."""
    group = parser.add_argument_group("camera, if the source has no calibration")
    lens = group.add_mutually_exclusive_group()
    lens.add_argument(
        "--fov",
        type=real(1, 170),
        metavar="DEGREES",
        help="assume this horizontal field of view; metres are a guess then (phones: about 65, "
        "webcams 60 to 80, action cameras 90 to 120)",
    )
    lens.add_argument(
        "--focal",
        type=positive,
        metavar="PIXELS",
        help="assume this focal length, in pixels of the images",
    )


def assumed_lens(options: argparse.Namespace) -> AssumedLens | None:
    """Return what the user assumes of a camera without calibration; None for nothing."""
    if options.fov is None and options.focal is None:
        return None
    return AssumedLens(options.fov, options.focal)


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


def expected_length(sequence: Sequence) -> int:
    """Return about how many frames a source has; 0 if that is unknown."""
    if isinstance(sequence, Video):
        return sequence.expected_length  # counting decodes the whole video
    return len(sequence) if isinstance(sequence, Recording) else 0


def progress(
    sequence: Sequence, limit: int | None, refused: Refused | None = None
) -> tqdm[tuple[int, Frame]]:
    """Iterate over the first `limit` frames of a source, all for None, with a progress bar.

    Yields each frame with its index; frames that cannot be read are left out, see `readable`.
    """
    counts = [] if limit is None else [limit]
    counts += [length] if (length := expected_length(sequence)) else []
    frames = islice(numbered(sequence, refused), limit)
    total = min(counts, default=None)
    return tqdm(frames, total=total, unit="frame", disable=None, file=sys.stderr)
