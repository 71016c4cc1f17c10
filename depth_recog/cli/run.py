# SPDX-License-Identifier: Apache-2.0
"""`depth-recog run`: the depth node's pipeline without ROS, from a source to files."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from depth_recog import __version__
from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.options import frame_count
from depth_recog.cli.pipeline_options import add_pipeline_arguments, assembly_of
from depth_recog.datasets.sequence import Recording, Sequence
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import OutputError
from depth_recog.interfaces.regions import record
from depth_recog.method.pair import Pair
from depth_recog.method.trajectory import Trajectory
from depth_recog.networks.factory import Assembly
from depth_recog.networks.weights import SHIPPED, Header
from depth_recog.pipeline import Pipeline, ProcessedFrame

# KITTI's depth format: 16 bits, 1/256 metre a step.
_STEPS_PER_METRE = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument("source", metavar="SOURCE", help="a path, a device, or kind:path")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    add_pipeline_arguments(parser)
    parser.add_argument("--limit", type=frame_count, metavar="N", help="end after N frames")


class _Files:
    """The output folder; every line and every picture is whole as soon as it is there."""

    def __init__(self, out: Path) -> None:
        self.out = out
        if (out / "run.json").exists() or (out / "depth").exists():
            raise OutputError(
                f"{out}: holds an earlier run, whose files would mix with this one's: "
                "name another folder, or remove it"
            )
        try:
            for folder in ("depth", "mask", "moving"):
                (out / folder).mkdir(parents=True, exist_ok=True)
            self.poses: TextIO = (out / "poses.txt").open("w", encoding="utf-8")
            self.pairs: TextIO = (out / "pairs.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{out}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        self.poses.close()
        self.pairs.close()

    def picture(
        self, folder: str, name: str, pixels: NDArray[np.uint8] | NDArray[np.uint16]
    ) -> None:
        path = self.out / folder / f"{name}.png"
        partial = path.with_suffix(".partial")
        try:
            encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
            partial.write_bytes(encoded.tobytes())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error

    def report(self, content: dict[str, Any]) -> None:
        path = self.out / "run.json"
        try:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error

    def line(self, file: TextIO, text: str) -> None:
        try:
            file.write(text + "\n")
            file.flush()
        except OSError as error:
            raise OutputError(f"{self.out}: cannot be written ({error.strerror})") from error


def pair_record(pair: Pair) -> dict[str, Any]:
    """A line of pairs.jsonl."""

    def rows(matrix: NDArray[np.float64], known: bool) -> list[list[float]] | None:
        return matrix.tolist() if known else None

    result = pair.gate_result
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "dt": pair.seconds,
        "static": rows(pair.static.T_second_from_first, pair.static.ok),
        "dynamic": rows(pair.dynamic.T_second_from_first, pair.dynamic.ok),
        "target": rows(pair.target.T_second_from_first, pair.target.ok),
        "absolute_difference": rows(pair.absolute_difference, pair.static.ok and pair.dynamic.ok),
        "decision": pair.decision.motion.name.lower(),
        "why": pair.decision.why,
        "regions": result and [record(region) for region in result.regions],
    }


def write_frame(files: _Files, trajectory: Trajectory, processed: ProcessedFrame) -> None:
    """Write every file of one frame."""
    maps, step = processed.at_input_size, processed.step
    name, depth = step.frame.name, maps.depth()
    metres = np.where(np.isfinite(depth), depth, 0)
    files.picture("depth", name, np.rint(metres * _STEPS_PER_METRE).astype(np.uint16))
    files.picture("mask", name, maps.labels)
    files.picture("moving", name, maps.moving)
    pose = trajectory.add(step).T_first_from_frame
    files.line(files.poses, " ".join(f"{v:.9e}" for v in pose[:3].reshape(-1)))
    if step.pair is not None:
        files.line(files.pairs, json.dumps(pair_record(step.pair)))


def main(options: argparse.Namespace) -> int:
    """Run the pipeline over a source."""
    with Interrupt() as interrupt:
        sequence = open_source(options.source)
        assembly = assembly_of(options)
        counts: Counter[str] = Counter()
        start = time.perf_counter()
        failure: Exception | None = None
        files = _Files(options.out)
        try:
            _frames(sequence, options.limit, assembly, files, counts, interrupt)
        except Exception as error:
            # What was read until then is good: it is kept, and the report says how far it goes.
            failure = error
        files.close()
        report = _report(options, sequence, assembly, counts, time.perf_counter() - start)
        report["interrupted"] = interrupt.asked
        report["error"] = str(failure) if failure else None
        try:
            files.report(report)
        except OutputError as error:
            failure = failure or error
    if failure:
        raise failure
    if interrupt.asked:
        print(f"interrupted after {counts['out']} frames; they are whole", file=sys.stderr)
    return 0


def _frames(
    sequence: Sequence,
    limit: int | None,
    assembly: Assembly,
    files: _Files,
    counts: Counter[str],
    interrupt: Interrupt,
) -> None:
    pipeline, trajectory = Pipeline(assembly), Trajectory()
    total = len(sequence) if isinstance(sequence, Recording) else None
    if limit is not None:
        total = limit if total is None else min(limit, total)
    frames = islice(sequence, limit)
    bar = tqdm(frames, total=total, unit="frame", disable=None, file=sys.stderr)
    with bar:
        for frame in bar:
            if interrupt.asked:
                break
            counts["in"] += 1
            write_frame(files, trajectory, pipeline.process(frame))
            counts["out"] += 1


def _report(
    options: argparse.Namespace,
    sequence: Sequence,
    assembly: Assembly,
    counts: Counter[str],
    seconds: float,
) -> dict[str, Any]:
    return {
        "depth_recog": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "source": _place(options.source),
        "kind": sequence.kind,
        "device": str(assembly.device),
        "precision": assembly.precision,
        "weights": _weights(assembly.depth),
        "gate_weights": _weights(assembly.gate) if assembly.gate else None,
        "mask_weights": _weights(assembly.masks),
        "classes": list(assembly.recognizer.settings.rules.classes),
        "dynamic_classes": list(assembly.recognizer.settings.rules.dynamic),
        "unit": assembly.depth.unit,
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
        "seconds": round(seconds, 3),
    }


def _weights(header: Header) -> dict[str, str]:
    shipped = header.path.parent == SHIPPED
    place = header.path.stem if shipped else str(header.path.absolute())
    return {"name": header.path.stem, "path": place, "sha256": header.sha256}


def _place(source: str) -> str:
    """A path in whole: the report is read in other folders too."""
    return str(Path(source).absolute()) if Path(source).exists() else source
