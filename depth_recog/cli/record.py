# SPDX-License-Identifier: Apache-2.0
"""`depth-recog record`: write any source, with its ground truth, as a ROS 2 bag."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.options import (
    add_camera_arguments,
    assumed_lens,
    integer,
    namespace,
    progress,
)
from depth_recog.datasets.sequence import Recording, Truth
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import CalibrationError, ConfigurationError, DepthRecogError, SourceError

_QUALITY = 95
_STORAGES = ("mcap", "sqlite3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument("source", metavar="SOURCE", help="a path, a device, or kind:path")
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="the bag's folder")
    parser.add_argument("--storage", choices=_STORAGES, default="mcap", help="default: mcap")
    images = parser.add_mutually_exclusive_group()
    images.add_argument("--raw", action="store_true", help="raw images, rgb8 (default)")
    images.add_argument("--compressed", action="store_true", help="JPEG images")
    parser.add_argument(
        "--quality", type=integer(1, 100), metavar="N", help=f"of JPEG images, default: {_QUALITY}"
    )
    parser.add_argument("--limit", type=integer(1), metavar="N", help="stop after N frames")
    parser.add_argument(
        "--namespace", type=namespace, default="/camera", metavar="NAME", help="default: /camera"
    )
    add_camera_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Write a source as a bag."""
    if options.quality and not options.compressed:
        raise ConfigurationError("--quality is the quality of JPEG images: add --compressed")
    try:
        from depth_recog.datasets.bags.writer import BagWriter
    except ModuleNotFoundError as error:
        raise DepthRecogError(
            "rosbags is missing, which writes bags: pip install rosbags"
        ) from error

    with Interrupt() as interrupt:
        sequence = open_source(options.source, assumed_lens(options))
        recording = sequence if isinstance(sequence, Recording) else None
        quality = (options.quality or _QUALITY) if options.compressed else None
        writer = BagWriter(options.out, options.storage, quality, options.namespace)
        failure: DepthRecogError | None = None
        with writer:
            bar = progress(sequence, options.limit)
            try:
                for index, frame in bar:
                    if interrupt.asked:
                        break
                    writer.add(frame, recording.truth(index) if recording else Truth())
            except (SourceError, CalibrationError) as error:
                # The frames so far are kept.
                failure = error
            finally:
                bar.close()
    if interrupt.asked:
        kept = "they are in the bag" if writer.frames else "there is no bag"
        print(f"interrupted after {writer.frames} frames; {kept}", file=sys.stderr)
    if writer.frames:
        truths = f"ground truth: {', '.join(sorted(writer.truths)) or 'none'}"
        print(f"{options.out}: {writer.frames} frames, {truths}")
    if failure:
        raise failure
    return 0
