# SPDX-License-Identifier: Apache-2.0
"""`depth-recog calibrate`: the gate's thresholds from placebos on what stands still."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from depth_recog import __version__
from depth_recog.calibration.gate_calibration import Calibration, calibrated
from depth_recog.calibration.null_samples import NullRun, NullSamples
from depth_recog.cli.interrupt import all_or_nothing
from depth_recog.cli.options import frame_range, quantile, seed, within
from depth_recog.cli.pipeline_options import (
    add_network_arguments,
    add_threshold_arguments,
    settings_of,
)
from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import OutputError, SourceError
from depth_recog.files import write_whole
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import assemble, make_estimator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "source", metavar="SOURCE", help="a recording in which the camera moves; no truth is needed"
    )
    parser.add_argument("--frames", type=frame_range, metavar="A:B", help="A to B - 1 only")
    parser.add_argument(
        "--quantile",
        type=quantile,
        default=0.95,
        metavar="Q",
        help="1 - Q of what stands may be called moving, default: 0.95",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the placebos, default: 0"
    )
    parser.add_argument(
        "--yaml", type=Path, metavar="FILE", help="write a ROS parameters file for the depth node"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    add_network_arguments(parser)
    add_threshold_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Find the thresholds; 1 where it was interrupted, since there are none then."""
    return all_or_nothing(lambda: _calibrate(options), "no thresholds were found")


def _calibrate(options: argparse.Namespace) -> int:
    for path in (options.yaml, options.json):
        # Before the work, not after it.
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise OutputError(f"{path}: no file can be written there: check the folder")
    source = open_source(options.source)
    if not isinstance(source, Recording):
        raise SourceError(
            f"{options.source}: a live source cannot be read twice: record it first "
            "(depth-recog record), and give the bag"
        )
    frames = within(options.frames, len(source), options.source)
    now = settings_of(options, "object")
    assembly = assemble(
        options.device,
        options.weights,
        options.mask_weights,
        estimator=options.pose,
        settings=now,
        gate_weights=options.gate_weights,
        precision=options.precision,
    )
    estimator = make_estimator(options.pose, "", assembly.device)

    def measured(settings: Settings, what: str) -> NullSamples:
        run = NullRun(
            assembly.depth_model,
            assembly.mask_model,
            estimator,
            settings,
            assembly.device,
            assembly.network_size,
            options.seed,
            assembly.gate_model,
        )
        return run.of(_shown(source, frames, what))

    found = calibrated(measured, now, options.quantile, options.source)
    if options.yaml:
        _write(options.yaml, found.parameters(f"depth_recog {__version__}, {options.source}"))
    if options.json:
        about = {
            "depth_recog": __version__,
            "source": options.source,
            "frames": [frames.start, frames.stop],
            "quantile": options.quantile,
            "seed": options.seed,
            "weights": assembly.depth.path.stem,
            "weights_sha256": assembly.depth.sha256,
            "mask_weights": assembly.masks.path.stem,
            "device": str(assembly.device),
            "precision": assembly.precision,
            "pose": options.pose,
        }
        _write(options.json, json.dumps(_figures(about, found), indent=2) + "\n")
    print(found.table())
    return 0


def _figures(about: dict[str, Any], found: Calibration) -> dict[str, Any]:
    return {"about": about, **asdict(found)}


def _shown(source: Recording, frames: range, what: str) -> Iterator[Frame]:
    with tqdm(frames, what, unit="frame", disable=None, file=sys.stderr) as bar:
        for index in bar:
            yield source[index]


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
