# SPDX-License-Identifier: Apache-2.0
"""`depth-recog run`: depth, masks and poses of a source, written to files; without ROS."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any

import cv2

from depth_recog import __version__
from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.options import add_camera_arguments, assumed_lens, integer, progress
from depth_recog.cli.pipeline_options import add_pipeline_arguments, assembly_of
from depth_recog.cli.scale_options import about_scale
from depth_recog.datasets.sequence import Sequence
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import ConfigurationError, DepthRecogError, OutputError
from depth_recog.evaluation.run_writer import RunWriter
from depth_recog.method.geometry.camera import Camera
from depth_recog.networks.backends.choice import runtimes
from depth_recog.networks.factory import Assembly
from depth_recog.networks.weights import SHIPPED, Header
from depth_recog.pipeline import Pipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument("source", metavar="SOURCE", help="a path, a device, or kind:path")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    add_camera_arguments(parser)
    add_pipeline_arguments(parser)
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write uncertainty/NAME.png: 16 bit, standard deviation of log depth in 1/10000, "
        "0 where depth is invalid; needs depth weights that give it",
    )
    parser.add_argument("--limit", type=integer(1), metavar="N", help="stop after N frames")


def main(options: argparse.Namespace) -> int:
    """Run the pipeline over a source, and write the results."""
    with Interrupt() as interrupt:
        sequence = open_source(options.source, assumed_lens(options))
        assembly = assembly_of(options, sequence)
        if options.uncertainty and not assembly.depth.deviation:
            raise ConfigurationError(
                f"--uncertainty: the depth weights {assembly.depth.path.stem} give no standard "
                "deviation; train the head for it (depth-recog train --set trains=deviation)"
            )
        start = time.perf_counter()
        failure: Exception | None = None
        counts: Counter[str] = Counter()
        states: Counter[str] = Counter()
        measured = assembly.recognizer.settings.scale.measured
        guessed: Camera | None = None
        writer = RunWriter(options.out, options.uncertainty)
        try:
            pipeline = Pipeline(assembly)
            if not sequence.live:
                pipeline.find_scale(takewhile(lambda _: not interrupt.asked, sequence))

            def refused(error: DepthRecogError) -> None:
                counts["in"] += 1

            with progress(sequence, options.limit, refused) as frames:
                for _, frame in frames:
                    if interrupt.asked:
                        break
                    counts["in"] += 1
                    guessed = frame.camera if frame.camera.assumed else guessed
                    processed = pipeline.process(frame)
                    metric = pipeline.in_metres(processed.step) or not measured
                    writer.write(processed, metric)
                    counts["out"] += 1
                    states[processed.step.frame.scale.state.value] += 1
        except Exception as error:
            # The frames so far are kept, and the report has their number and the error.
            failure = error
        writer.close()
        report = _report(options, sequence, assembly, counts)
        report["assumed_camera"] = guessed and {
            "fov": options.fov,
            "focal": options.focal,
            "focal_pixels": guessed.fx,
            "meaning": "no calibration: metres are a guess",
        }
        report["scale"] = about_scale(options, assembly.recognizer.scale.now, states)
        report["seconds"] = round(time.perf_counter() - start, 3)
        report["interrupted"] = interrupt.asked
        report["error"] = str(failure) if failure else None
        try:
            writer.report(report)
        except OutputError as error:
            failure = failure or error
    if failure:
        raise failure
    if interrupt.asked:
        print(f"interrupted after {counts['out']} frames, which are complete", file=sys.stderr)
    return 0


def _report(
    options: argparse.Namespace, sequence: Sequence, assembly: Assembly, counts: Counter[str]
) -> dict[str, Any]:
    return {
        "depth_recog": __version__,
        "python": platform.python_version(),
        "runtimes": runtimes(),
        "opencv": cv2.__version__,
        "source": _place(options.source),
        "kind": sequence.kind,
        "device": str(assembly.device),
        "backend": assembly.backend,
        "precision": assembly.precision,
        "weights": _weights(assembly.depth),
        "gate_weights": _weights(assembly.gate) if assembly.gate else None,
        "mask_weights": _weights(assembly.masks),
        "classes": list(assembly.recognizer.settings.rules.classes),
        "dynamic_classes": list(assembly.recognizer.settings.rules.dynamic),
        "unit": assembly.depth.unit if options.scale == "none" else "metres",
        "pose": options.pose,
        "gate": options.gate,
        "gate_threshold": options.gate_threshold,
        "gate_rotation": options.gate_rotation,
        "gate_translation": options.gate_translation,
        "frames": {
            "in": counts["in"],
            "out": counts["out"],
            "dropped": 0,
            "rejected": counts["in"] - counts["out"],
        },
    }


def _weights(header: Header) -> dict[str, str]:
    shipped = header.path.parent == SHIPPED
    place = header.path.stem if shipped else str(header.path.absolute())
    return {"name": header.path.stem, "path": place, "sha256": header.sha256}


def _place(source: str) -> str:
    """Return an absolute path, because the report may be read from another folder."""
    return str(Path(source).absolute()) if Path(source).exists() else source
