# SPDX-License-Identifier: Apache-2.0
"""Results that `depth-recog run` wrote to a folder, in the form that `evaluate` compares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.image_files import list_images, read_depth, read_ids
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.side_files import read_numbers
from depth_recog.documents import parse_json, read_json
from depth_recog.errors import ConfigurationError, DocumentError, SourceError, WeightsError
from depth_recog.evaluation.answer import Answer, PairMotion
from depth_recog.evaluation.run_writer import STEPS_OF_DEVIATION, UNCERTAINTY
from depth_recog.files import open_regular
from depth_recog.limits import CLASSES, DOCUMENT_BYTES, LINES, NAME_CHARACTERS, SHOWN
from depth_recog.method.masking import PresetRules
from depth_recog.networks.models import header_of
from depth_recog.networks.weights import Header
from depth_recog.texts import plain, shown


class RecordedRun:
    """The output folder of `depth-recog run`.

    A depth image holds 0 where depth is invalid or out of range; here both count as no answer.

    Args:
        folder: with run.json.

    Raises:
        SourceError: it is not such a folder, or a file in it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.report = _read_report(folder)
        weights = self.weights("weights")
        self.about = {
            "run": folder.resolve().name,
            "weights": weights.get("name", "unknown"),
            "weights sha256": weights.get("sha256", "unknown"),
            **{
                key: plain(str(self.report.get(key, "unknown")), SHOWN)
                for key in ("precision", "pose", "gate")
            },
        }
        self._rules = _read_rules(folder / "run.json", self.report)
        # In the order of the frames, which is that of the lines of poses.txt.
        self._depths = [file.stem for file in list_images(folder / "depth")]
        self._motions = _read_motions(folder / "pairs.jsonl")
        self._poses = self._read_poses(folder / "poses.txt")

    @property
    def source(self) -> str:
        """The recording that was run on, as typed."""
        return str(self.report["source"])

    @property
    def assumed(self) -> AssumedLens | None:
        """What the run assumed of the camera; None with a calibration."""
        entry = self.report.get("assumed_camera")
        if not isinstance(entry, dict):
            return None
        fov, focal = (entry.get(key) for key in ("fov", "focal"))
        for value, most in ((fov, 170), (focal, 1e6)):
            if value is None:
                continue
            if type(value) not in (int, float) or not 0 < value <= most:
                raise SourceError(
                    f"{self._folder / 'run.json'}: {shown(value)} is no lens; run again"
                )
        return AssumedLens(fov, focal) if fov or focal else None

    def weights(self, key: str) -> dict[str, str]:
        """Return name, path and sha256 of weights as far as the report has them."""
        entry = self.report.get(key)
        return {k: plain(str(v)) for k, v in entry.items()} if isinstance(entry, dict) else {}

    def headers(self) -> tuple[list[Header], tuple[str, ...]]:
        """Find the weights that the run used.

        Returns:
            Headers of those whose files are unchanged, and the names of the others.
        """
        headers, missing = [], []
        for key in ("weights", "gate_weights", "mask_weights"):
            recorded = self.weights(key)
            if key == "gate_weights" and not recorded:
                continue
            name = recorded.get("name", f"unknown {key}")
            network = "masks" if key == "mask_weights" else "depth"
            try:
                header = header_of(recorded.get("path") or name, network)
                unchanged = header.sha256 == recorded.get("sha256")
            except WeightsError:
                unchanged = False
            if unchanged:
                headers.append(header)
            else:
                missing.append(name)
        if self.report.get("pose") == "network":
            headers.append(header_of("", "pose"))
        return headers, tuple(missing)

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Yield the answers to those frames that the run has. Raises SourceError."""
        answered = set(self._depths)
        for frame in frames:
            if frame.name in answered:
                yield frame, self._answer(frame)

    def _answer(self, frame: Frame) -> Answer:
        name, size = f"{frame.name}.png", frame.camera.size
        ids = _read_ids(self._folder / "mask" / name, size)
        return Answer(
            read_depth(self._folder / "depth" / name, 256.0, size),
            None if ids is None else self._rules.train_ids(ids),
            None if ids is None else self._rules.dynamic_pixels(ids),
            _read_ids(self._folder / "moving" / name, size),
            motion=self._motions.get(frame.name),
            world_from_camera=self._poses.get(frame.name),
            deviation=_read_deviation(self._folder / UNCERTAINTY / name, size),
        )

    def _read_poses(self, path: Path) -> dict[str, NDArray[np.float64]]:
        if not path.is_file() or not path.stat().st_size:
            return {}
        rows = read_numbers(path, columns=12)
        # An interrupted run may have written the last frame's depth, but not its pose.
        if not len(self._depths) - 1 <= len(rows) <= len(self._depths):
            raise SourceError(
                f"{path} has {len(rows)} lines for {len(self._depths)} depth images, so frames "
                "and poses cannot be matched; run again"
            )
        poses = (np.vstack((row.reshape(3, 4), (0, 0, 0, 1))) for row in rows)
        return dict(zip(self._depths, poses, strict=False))


def is_recorded_run(path: Path) -> bool:
    """Whether `depth-recog run` wrote this folder."""
    # Not Path.is_file: it raises where a name is too long.
    return os.path.isfile(path / "run.json") and os.path.isdir(path / "depth")


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        report = read_json(path)
        source = report.get("source") if isinstance(report, dict) else None
        if not isinstance(source, str):
            raise ValueError(f"its source is {shown(source)}")
    except (OSError, ValueError, DocumentError) as error:
        raise SourceError(
            f"{path}: not a report of depth-recog run ({error}); run again, or give another folder"
        ) from error
    return dict(report)


def _read_rules(path: Path, report: dict[str, Any]) -> PresetRules:
    """Return the rules for the class ids of the masks."""
    usual = PresetRules()
    try:
        return PresetRules(
            _classes(report.get("classes", list(usual.classes))),
            _classes(report.get("dynamic_classes", list(usual.dynamic))),
        )
    except (ConfigurationError, TypeError) as error:
        raise SourceError(f"{path}: its classes cannot be used ({error}); run again") from error


def _classes(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) > CLASSES:
        raise TypeError(f"a list of at most {CLASSES} names is needed")
    for name in names:
        if not isinstance(name, str) or len(name) > NAME_CHARACTERS or not name.isprintable():
            raise TypeError(f"{shown(name)} is no name")
    return tuple(names)


def _read_motions(path: Path) -> dict[str, PairMotion]:
    """By the second frame's name; empty where the file is missing."""
    if not path.is_file():
        return {}
    motions: dict[str, PairMotion] = {}
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            # Line by line: with the regions of every pair the file can be large.
            while line := file.readline(DOCUMENT_BYTES):
                _add_motion(motions, line, f"{path}, line {len(motions) + 1}")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); run again") from error
    return motions


def _add_motion(motions: dict[str, PairMotion], line: bytes, where: str) -> None:
    try:
        if len(motions) >= LINES:
            raise ValueError(f"more than {LINES} lines")
        pair = parse_json(line.decode())
        names = pair["first"], pair["second"]
        if not all(isinstance(name, str) for name in names) or names[1] in motions:
            raise ValueError("names that are none, or occur twice")
        motions[names[1]] = PairMotion(names[0], _matrix(pair["static"]))
    except (DocumentError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise SourceError(f"{where}: not a pair ({error}); run again") from error


def _matrix(rows: Any) -> NDArray[np.float64] | None:
    if rows is None:
        return None
    matrix = np.array(rows, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError("static is not 4x4 finite numbers")
    return matrix


def _read_deviation(path: Path, size: tuple[int, int]) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    return read_depth(path, STEPS_OF_DEVIATION, size)


def _read_ids(path: Path, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    return read_ids(path, size, "what run wrote") if path.is_file() else None
