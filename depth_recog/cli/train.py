# SPDX-License-Identifier: Apache-2.0
"""`depth-recog train`: train a depth network on your own recordings."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.options import add_camera_arguments, part_of_source
from depth_recog.cli.scale_options import add_scale_arguments
from depth_recog.cli.start_scale import start_scale
from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import ConfigurationError, DepthRecogError, SourceError
from depth_recog.networks.factory import NetworkOptions
from depth_recog.training.config import (
    TrainingConfig,
    make_config,
    read_config,
    set_value,
    write_config,
)
from depth_recog.training.data.cache import SourceFrames
from depth_recog.training.data.selection import DataSplit
from depth_recog.training.loop.run import RunControl, TrainingRunFolder, open_run
from depth_recog.training.train import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE[@A:B]",
        help="recordings, each whole or frames A to B - 1",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML, see --print-config")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key, as loss.sky=0"
    )
    parser.add_argument(
        "--validate",
        action="append",
        default=[],
        metavar="SOURCE[@A:B]",
        help="held-out frames; default: the end of each SOURCE",
    )
    parser.add_argument(
        "--teacher",
        metavar="DIRECTORY",
        help="depth network that teaches where motion shows nothing",
    )
    add_camera_arguments(parser)
    add_scale_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run in DIR")
    parser.add_argument(
        "--print-config", action="store_true", help="print all keys with their values and exit"
    )


def main(options: argparse.Namespace) -> int:
    """Train, or print the configuration."""
    if options.print_config:
        print(write_config(_config(options)), end="")
        return 0
    if options.out is None:
        raise ConfigurationError("--out DIR is missing: the run's folder")
    config = _resumed(options) if options.resume else _config(options)
    if not config.sources:
        raise ConfigurationError("no SOURCE to train on")
    lens = None
    if config.fov or config.focal:
        lens = AssumedLens(config.fov, None if config.fov else config.focal)
    new = not options.out.exists()
    folder = TrainingRunFolder(options.out)
    if not options.resume:
        folder.check_new()
    try:
        with Interrupt() as interrupt:
            split = DataSplit(
                [chosen_frames(text, lens) for text in config.sources],
                [chosen_frames(text, lens) for text in config.validate_on],
            )
            config = _in_metres(config, options, split, lambda: interrupt.asked)
            control = RunControl(lambda line: print(line, flush=True), lambda: interrupt.asked)
            outcome = train(config, split, folder, control, options.resume)
    except DepthRecogError:
        # Without a checkpoint the run cannot be continued: its new folder is removed.
        if new and not any((options.out / "checkpoints").glob("*")):
            shutil.rmtree(options.out, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        further = "; continue with --resume" if options.out.exists() else ""
        print(f"interrupted before the first step{further}", file=sys.stderr)
        return 0
    if outcome.why == "stopped":
        print(
            f"interrupted after step {outcome.step}; the run is saved, continue with --resume",
            file=sys.stderr,
        )
    elif outcome.weights is not None:
        print(f"{outcome.weights}: depth-recog run SOURCE --weights {outcome.weights} --out DIR")
    return 0


def _config(options: argparse.Namespace) -> TrainingConfig:
    values: dict[str, Any] = read_config(options.config) if options.config else {}
    for assignment in options.set:
        set_value(values, assignment)
    if options.sources:
        values["sources"] = options.sources
    if options.validate:
        values["validate_on"] = options.validate
    if options.teacher:
        values["teacher"] = options.teacher
    for key in ("fov", "focal"):
        if getattr(options, key) is not None:
            values |= {"fov": None, "focal": None, key: getattr(options, key)}
    return make_config(values, str(options.config or "command line"))


def _in_metres(
    config: TrainingConfig,
    options: argparse.Namespace,
    split: DataSplit,
    asked: Callable[[], bool],
) -> TrainingConfig:
    """The configuration with the scale that `--scale` finds."""
    networks = NetworkOptions(depth=config.start.depth, masks=config.masks)
    scale = start_scale(options, networks, split.training, asked)
    if scale is None:
        return config
    return config.model_copy(update={"start": config.start.model_copy(update={"scale": scale})})


def _resumed(options: argparse.Namespace) -> TrainingConfig:
    given = options.sources or options.config or options.set or options.validate
    given = given or options.teacher or options.fov or options.focal
    if given or options.scale != "none":
        raise ConfigurationError(
            f"--resume uses {options.out}/config.yaml unchanged: leave SOURCE, --config, --set, "
            "--validate, --teacher, --fov, --focal and --scale out"
        )
    return open_run(options.out)


def chosen_frames(text: str, assumed: AssumedLens | None = None) -> SourceFrames:
    """Open SOURCE[@A:B] of the command line; `assumed` as for `open_source`.

    Raises:
        DepthRecogError: the text or the source cannot be used.
    """
    try:
        source, frames = part_of_source(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigurationError(str(error)) from error
    recording = open_source(source, assumed)
    if not isinstance(recording, Recording):
        raise SourceError(f"{text}: a live source cannot be trained on; record it first")
    count = len(recording)
    chosen = range(count) if frames is None else range(frames.start, min(frames.stop, count))
    if not chosen:
        raise SourceError(f"{text}: this recording has frames 0 to {count - 1} only")
    return SourceFrames(text, source, recording, chosen)
