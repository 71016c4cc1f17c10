# SPDX-License-Identifier: Apache-2.0
"""What the recipes share: their command line, and the start of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from depth_recog.cli.train import chosen_frames
from depth_recog.training.config import make_config, set_value
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
    help_text = "a setting of depth-recog train"
    parser.add_argument("--resume", action="store_true", help="continue from DIR's last checkpoint")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=help_text)
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
    given = config.sources, config.validate_on
    split = DataSplit(*([chosen_frames(text) for text in texts] for texts in given))
    check_disjoint(split)
    control = RunControl(lambda line: print(line, flush=True))
    return start_run(config, TrainingRunFolder(options.out), control, options.resume), split
