# SPDX-License-Identifier: Apache-2.0
"""What the recipes share: their command line, and the start of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from depth_recog.cli.options import part_of_source
from depth_recog.datasets.sources import open_source
from depth_recog.training.config import make_config, set_value
from depth_recog.training.data.cache import SourceFrames, choose_frames
from depth_recog.training.data.selection import DataSplit, check_disjoint
from depth_recog.training.loop.run import RunControl, TrainingRun, TrainingRunFolder, start_run


def make_parser(text: str) -> argparse.ArgumentParser:
    """A parser of SOURCE..., --validate, --out and --set; `text` is the recipe's docstring."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("sources", nargs="+", metavar="SOURCE[@A:B]", help="frames to train on")
    parser.add_argument(
        "--validate", nargs="+", required=True, metavar="SOURCE[@A:B]", help="held-out frames"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of depth-recog train",
    )
    return parser


def start(options: argparse.Namespace, defaults: dict[str, Any]) -> tuple[TrainingRun, DataSplit]:
    """Start a run with the recipe's settings, and open its recordings.

    Raises:
        DepthRecogError: a setting, a recording or the folder cannot be used.
    """
    values = {**defaults, "sources": options.sources, "validate_on": options.validate}
    for assignment in options.set:
        set_value(values, assignment)
    config = make_config(values, "command line")
    split = DataSplit(_frames(config.sources), _frames(config.validate_on))
    check_disjoint(split)
    control = RunControl(lambda line: print(line, flush=True))
    return start_run(config, TrainingRunFolder(options.out), control), split


def _frames(texts: tuple[str, ...]) -> list[SourceFrames]:
    chosen = []
    for text in texts:
        source, frames = part_of_source(text)
        chosen.append(choose_frames(text, source, open_source(source), frames))
    return chosen
