# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate`: depth, poses and gate against the truth, or depth without any."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from depth_recog.cli import without_truth
from depth_recog.cli.interrupt import all_or_nothing
from depth_recog.cli.options import (
    add_camera_arguments,
    assumed_lens,
    frame_range,
    integer,
    part_of_source,
    positive,
    real,
    within,
)
from depth_recog.cli.pipeline_options import (
    about_pipeline,
    add_pipeline_arguments,
    assembly_of,
    pipeline_options_given,
)
from depth_recog.datasets.reader import readable
from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.datasets.sources import KINDS
from depth_recog.errors import ConfigurationError, DepthRecogError, OutputError, SourceError
from depth_recog.evaluation import splits
from depth_recog.evaluation.baselines import Baseline, Constant, GroundPlane, fit_row_mean
from depth_recog.evaluation.depth_errors import CROPS, Protocol
from depth_recog.evaluation.evaluate import evaluate
from depth_recog.evaluation.html import check_installed, write_html
from depth_recog.evaluation.pipeline_answers import PipelineAnswers
from depth_recog.evaluation.placebos.report import placebo_report
from depth_recog.evaluation.placebos.samples import PlaceboRun
from depth_recog.evaluation.recorded_run import RecordedRun, is_recorded_run
from depth_recog.evaluation.subject import (
    Subject,
    about_recording,
    check_figures,
    check_truth,
    has_truth,
    open_recording,
)
from depth_recog.evaluation.table import table
from depth_recog.evaluation.without_truth.table import table as table_without_truth
from depth_recog.files import write_whole
from depth_recog.networks.models import header_of
from depth_recog.texts import plain

_GROUND_PLANE_HEIGHT = 1.65
"""Metres, unless --camera-height is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "source", metavar="SOURCE", help="a recording, or a folder that run wrote on one with truth"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report as HTML")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--frames", type=frame_range, metavar="A:B", help="frames A to B - 1 only")
    part.add_argument("--split", choices=splits.SPLITS, help="frames of this split only")
    parser.add_argument("--crop", choices=CROPS, default="garg", help="default: garg")
    parser.add_argument(
        "--cap", type=positive, default=80.0, metavar="M", help="largest true depth, default: 80 m"
    )
    parser.add_argument(
        "--fit",
        type=part_of_source,
        metavar="SOURCE[@A:B]",
        help="recording for fitting the row mean; default: the evaluated frames themselves, which "
        "favours the row mean",
    )
    parser.add_argument(
        "--without-truth",
        action="store_true",
        help="judge the depth by triangulated points, flicker, road and warped images; the default "
        "for recordings without truth",
    )
    group = parser.add_argument_group("false positives of the gate, without truth")
    group.add_argument(
        "--placebos",
        action="store_true",
        help="only put vehicle-shaped regions on static background, and report how many of them "
        "are called moving",
    )
    group.add_argument(
        "--seed", type=integer(0), default=0, metavar="N", help="of the placebos, default: 0"
    )
    group.add_argument(
        "--quantile",
        type=real(0.5, 0.999),
        default=0.95,
        metavar="Q",
        help="report image-gate thresholds that a share Q of the pairs does not exceed; default: "
        "0.95",
    )
    group.add_argument(
        "--yaml", type=Path, metavar="FILE", help="write these thresholds as ROS parameters"
    )
    add_camera_arguments(parser)
    add_pipeline_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Evaluate; return 1 after an interrupt, because there is no report then."""
    work = _placebos if options.placebos else _truth
    return all_or_nothing(lambda: work(options), "no report was written")


def _truth(options: argparse.Namespace) -> int:
    if options.yaml:
        raise ConfigurationError("--yaml writes thresholds measured on placebos: add --placebos")
    protocol = Protocol(options.crop, options.cap)
    for path in (options.json, options.html):
        _check_writable(path)
    if options.html:
        check_installed()
    recording = None
    if not is_recorded_run(Path(options.source)):
        recording = open_recording(options.source, assumed_lens(options))
    if recording is None and options.without_truth:
        raise ConfigurationError(
            f"{options.source}: a run's depth is cut off at 80 m: give --without-truth the "
            "recording that it was run on, and the run's weights"
        )
    if recording is not None:
        frames = _frames(options, recording)
        if options.without_truth or not has_truth(recording, frames):
            return _without_truth(options, recording, frames)
    subject = _subject(options, recording)
    examined = subject.examined()
    baselines = _baselines(options, subject)
    with tqdm(total=len(subject.frames), unit="frame", disable=None, file=sys.stderr) as bar:
        evaluation = evaluate(
            subject.recording, subject.frames, subject.answers, protocol, baselines, bar.update
        )
    figures = evaluation.figures
    figures["frames"] |= examined
    check_figures(figures, options.source)
    figures["about"] = {
        **about_recording(subject.recording, subject.source),
        "crop": options.crop,
        "cap": options.cap,
        **_about_camera(options),
        **subject.answers.about,
    }
    try:
        if options.json:
            text = json.dumps(_json(figures), indent=2, allow_nan=False)
            _write(options.json, text + "\n")
        if options.html:
            _write(options.html, write_html(evaluation) + "\n")
    finally:
        print(plain(table(figures), keep="\n"))
    return 0


def _without_truth(options: argparse.Namespace, recording: Recording, frames: range) -> int:
    figures = without_truth.figures_of(options, recording, frames)
    figures["about"] |= _about_camera(options)
    if options.json:
        _write(options.json, json.dumps(_json(figures), indent=2, allow_nan=False) + "\n")
    print(plain(table_without_truth(figures), keep="\n"))
    return 0


def _subject(options: argparse.Namespace, recording: Recording | None) -> Subject:
    path = Path(options.source)
    if recording is not None:
        frames = _frames(options, recording)
        assembly = assembly_of(options, recording)
        headers = [assembly.depth, assembly.masks, *([assembly.gate] if assembly.gate else [])]
        if options.pose == "network":
            headers.append(header_of("", "pose"))
        beginning = partial(_readable, recording, frames)
        answers = PipelineAnswers(assembly, about_pipeline(options, assembly), beginning)
        return Subject(options.source, recording, frames, answers, headers)
    run = RecordedRun(path)
    if pipeline_options_given(options):
        raise ConfigurationError(
            f"{options.source} was run already: leave --weights, --gate-weights, --mask-weights, "
            "--pose, --width, --gate and its thresholds, --device and --precision out, or "
            "give its source"
        )
    try:
        recording = open_recording(run.source, assumed_lens(options) or run.assumed)
    except DepthRecogError as error:
        raise SourceError(
            f"{options.source}: the recording that it was run on cannot be opened: {error}"
        ) from error
    frames = _frames(options, recording)
    check_truth(recording, frames, run.source)
    headers, missing = run.headers()
    return Subject(run.source, recording, frames, run, headers, missing)


def _readable(recording: Recording, frames: Iterable[int]) -> Iterator[Frame]:
    return (frame for _, frame in readable(recording, frames))


def _frames(options: argparse.Namespace, recording: Recording) -> range:
    count = len(recording)
    if not options.split:
        return within(options.frames, count, options.source)
    indices = splits.frames_of([recording.file(i) for i in range(count)], options.split)
    if not indices:
        raise SourceError(f"{options.source}: none of its files is in split {options.split}")
    if indices != list(range(indices[0], indices[-1] + 1)):
        raise SourceError(f"{options.source}: its files of {options.split} are not consecutive")
    return range(indices[0], indices[-1] + 1)


def _baselines(options: argparse.Namespace, subject: Subject) -> dict[str, Baseline]:
    baselines: dict[str, Baseline] = {
        "constant": Constant(),
        "ground_plane": GroundPlane(options.camera_height or _GROUND_PLANE_HEIGHT, options.cap),
    }
    recording, frames, name = subject.recording, subject.frames, "the judged frames themselves"
    if options.fit:
        text, part = options.fit
        recording = open_recording(text, assumed_lens(options))
        frames = within(part, len(recording), text)
        name = text if part is None else f"frames {frames.start} to {frames.stop - 1} of {text}"
    rows = fit_row_mean(recording, frames, name, options.cap)
    if rows is not None:
        baselines["row_mean"] = rows
    elif options.fit:
        raise SourceError(f"--fit {options.fit[0]}: no true depth in these frames")
    return baselines


def _placebos(options: argparse.Namespace) -> int:
    if options.html or options.gate != "object":
        raise ConfigurationError("--placebos measures both gates: leave --html and --gate out")
    for path in (options.yaml, options.json):
        _check_writable(path)
    recording = open_recording(options.source, assumed_lens(options))
    frames = _frames(options, recording)
    assembly = assembly_of(options, recording)

    def read() -> Iterator[Frame]:
        bar = tqdm(frames, unit="frame", disable=None, file=sys.stderr)
        yield from _readable(recording, bar)

    samples = PlaceboRun(assembly, options.seed).over(read())
    settings = assembly.recognizer.settings
    report = placebo_report(samples, settings, options.quantile, options.source)
    about = about_recording(recording, options.source) | about_pipeline(options, assembly)
    about |= _about_camera(options)
    if options.yaml:
        origin = f"depth_recog {about['depth_recog']}, {options.source}"
        _write(options.yaml, report.parameters(origin))
    if options.json:
        about |= {"frames": [frames.start, frames.stop], "seed": options.seed}
        _write(options.json, json.dumps({"about": about, **asdict(report)}, indent=2) + "\n")
    print(plain(report.table(), keep="\n"))
    return 0


def _about_camera(options: argparse.Namespace) -> dict[str, str]:
    lens = assumed_lens(options)
    return {"camera without calibration": f"{lens} assumed, metres are a guess"} if lens else {}


def _json(value: Any) -> Any:
    """Replace NaN, which JSON lacks, by null."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _check_writable(path: Path | None) -> None:
    """Fail before the work, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise OutputError(f"{path}: no file can be written there: check the folder")


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
