# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate`: how far depth, poses and gate are from the truth."""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from depth_recog import __version__
from depth_recog.cli.interrupt import all_or_nothing
from depth_recog.cli.options import frame_range, metres, part_of_source, within
from depth_recog.cli.pipeline_options import (
    add_pipeline_arguments,
    assembly_of,
    gate_of,
    pipeline_options_given,
)
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import (
    ConfigurationError,
    DepthRecogError,
    OutputError,
    SourceError,
    WeightsError,
)
from depth_recog.evaluation import splits
from depth_recog.evaluation.answer import Answers
from depth_recog.evaluation.baselines import (
    Baseline,
    Constant,
    GroundPlane,
    fit_row_mean,
)
from depth_recog.evaluation.depth_errors import CROPS, Protocol
from depth_recog.evaluation.evaluate import Evaluation, evaluate
from depth_recog.evaluation.html import check_installed, write_html
from depth_recog.evaluation.pipeline import PipelineAnswers
from depth_recog.evaluation.run_folder import RunFolder, is_run_folder
from depth_recog.evaluation.table import table
from depth_recog.files import write_whole
from depth_recog.networks.models import header_of
from depth_recog.networks.weights import Header


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "source", metavar="SOURCE", help="a recording with truth, or a folder that run wrote"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report there")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--frames", type=frame_range, metavar="A:B", help="judge A to B - 1 only")
    part.add_argument("--split", choices=splits.SPLITS, help="judge the frames of a split only")
    parser.add_argument("--crop", choices=CROPS, default="garg", help="default: garg")
    parser.add_argument("--cap", type=metres, default=80.0, metavar="M", help="default: 80 m")
    parser.add_argument(
        "--fit",
        type=part_of_source,
        metavar="SOURCE[@A:B]",
        help="fit the row mean there; default: on the judged frames, in the row mean's favour",
    )
    parser.add_argument(
        "--camera-height",
        type=metres,
        default=1.65,
        metavar="M",
        help="for the ground plane; default: 1.65 m",
    )
    add_pipeline_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Judge a recording or a run; 1 where it was interrupted, since there is no report then."""
    return all_or_nothing(lambda: _judge(options), "no report was written")


def _judge(options: argparse.Namespace) -> int:
    protocol = Protocol(options.crop, options.cap)
    for path in (options.json, options.html):
        _check_writable(path)
    if options.html:
        check_installed()
    folder = RunFolder(Path(options.source)) if is_run_folder(Path(options.source)) else None
    if folder is not None and pipeline_options_given(options):
        raise ConfigurationError(
            f"{options.source} was run already: leave --weights, --gate-weights, --mask-weights, "
            "--pose, --width, --gate and its thresholds, --device and --precision out, or "
            "give its source"
        )
    source = folder.source if folder else options.source
    sequence = _source_of(folder, options.source) if folder else _recording(source)
    frames = _frames(options, sequence)
    _check_truth(sequence, frames, source)
    answers, headers, gone = _answers(options, folder)
    examined = splits.examine([sequence.file(i) for i in frames], headers)
    examined["trained_on"] |= dict.fromkeys(gone)
    baselines = _baselines(options, sequence, frames, source, protocol.cap)
    with tqdm(total=len(frames), unit="frame", disable=None, file=sys.stderr) as bar:
        evaluation = evaluate(sequence, frames, answers, protocol, baselines, bar.update)
    _complete(evaluation, options, source, sequence, frames, answers, examined)
    try:
        if options.json:
            text = json.dumps(_json(evaluation.figures), indent=2, allow_nan=False)
            _write(options.json, text)
        if options.html:
            _write(options.html, write_html(evaluation))
    finally:
        print(table(evaluation.figures))
    return 0


def _recording(source: str) -> Recording:
    sequence = open_source(source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{source}: a live source has no truth; give a recording")
    return sequence


def _source_of(folder: RunFolder, name: str) -> Recording:
    try:
        return _recording(folder.source)
    except DepthRecogError as error:
        raise SourceError(f"{name}: what it was run on cannot be opened: {error}") from error


def _check_truth(sequence: Recording, frames: range, source: str) -> None:
    """Before the networks run, not after them."""
    for index in frames:
        truth = sequence.truth(index)
        known = truth.depth, truth.world_from_camera, truth.boxes
        if any(item is not None for item in known):
            return
    raise SourceError(f"{source}: it has no truth to judge by (no depth, no poses, no boxes)")


def _frames(options: argparse.Namespace, sequence: Recording) -> range:
    count = len(sequence)
    if options.split:
        indices = splits.frames_of([sequence.file(i) for i in range(count)], options.split)
        if not indices:
            raise SourceError(f"{options.source}: none of its files is in split {options.split}")
        if indices != list(range(indices[0], indices[-1] + 1)):
            raise SourceError(f"{options.source}: its files of {options.split} are not in a row")
        return range(indices[0], indices[-1] + 1)
    return within(options.frames, count, options.source)


def _answers(
    options: argparse.Namespace, folder: RunFolder | None
) -> tuple[Answers, list[Header], list[str]]:
    """The method, the weights that had a part in it, and the names of those that are gone."""
    if folder is None:
        assembly = assembly_of(options)
        headers = [assembly.depth, assembly.masks]
        if assembly.gate:
            headers.append(assembly.gate)
        if options.pose == "network":
            headers.append(header_of("", "pose"))
        about = {
            "weights": assembly.depth.path.stem,
            "weights sha256": assembly.depth.sha256,
            **({"gate weights": assembly.gate.path.stem} if assembly.gate else {}),
            "mask weights": assembly.masks.path.stem,
            "precision": assembly.precision,
            "pose": options.pose,
            "gate": gate_of(options),
        }
        return PipelineAnswers(assembly, about), headers, []
    headers, gone = [], []
    for key, network in (
        ("weights", "depth"),
        ("gate_weights", "depth"),
        ("mask_weights", "masks"),
    ):
        recorded = folder.weights(key)
        if key == "gate_weights" and not recorded:
            continue
        name = recorded.get("name", f"unknown {key}")
        try:
            header = header_of(recorded.get("path") or name, network)
        except WeightsError:
            gone.append(name)  # what it was trained on cannot be said any more
            continue
        if header.sha256 == recorded.get("sha256"):
            headers.append(header)
        else:
            gone.append(name)
    if folder.report.get("pose") == "network":
        headers.append(header_of("", "pose"))
    return folder, headers, gone


def _baselines(
    options: argparse.Namespace, judged: Recording, frames: range, source: str, cap: float
) -> dict[str, Baseline]:
    baselines: dict[str, Baseline] = {
        "constant": Constant(),
        "ground_plane": GroundPlane(options.camera_height, cap),
    }
    if options.fit:
        text, part = options.fit
        sequence = _recording(text)
        chosen = within(part, len(sequence), text)
        name = text if part is None else f"frames {chosen.start} to {chosen.stop - 1} of {text}"
        rows = fit_row_mean(sequence, chosen, name, cap)
        if rows is None:
            raise SourceError(f"--fit {text}: no true depth there to fit on")
    else:
        rows = fit_row_mean(judged, frames, "the judged frames themselves", cap)
    if rows is not None:
        baselines["row_mean"] = rows
    return baselines


def _complete(
    evaluation: Evaluation,
    options: argparse.Namespace,
    source: str,
    sequence: Recording,
    frames: range,
    answers: Answers,
    examined: dict[str, Any],
) -> None:
    """Say in the figures what was judged, and how."""
    figures = evaluation.figures
    figures["frames"] |= {"first": frames.start, "last": frames.stop - 1, "splits": examined}
    if not figures["frames"]["answered"]:
        raise SourceError(f"{options.source}: the run has none of these frames")
    if "pose" not in figures and "depth" not in figures and "gate" not in figures:
        raise SourceError(
            f"{source}: nothing of these frames can be judged: no true depth lies within crop and "
            "cap, no pair has true poses, no box is decided"
        )
    figures["about"] = {
        "depth_recog": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "source": source,
        "kind": sequence.kind,
        "crop": options.crop,
        "cap": options.cap,
        **answers.about,
    }


def _json(value: Any) -> Any:
    """NaN is no JSON: null."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _check_writable(path: Path | None) -> None:
    """Before the work, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise OutputError(f"{path}: no file can be written there: check the folder")


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))
