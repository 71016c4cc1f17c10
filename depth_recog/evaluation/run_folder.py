# SPDX-License-Identifier: Apache-2.0
"""Answers that `depth-recog run` wrote to a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import read_depth
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.side_files import read_numbers
from depth_recog.errors import SourceError
from depth_recog.evaluation.answer import Answer, PairMotion


class RunFolder:
    """The output folder of `depth-recog run`.

    Depth images hold 0 for what is invalid and for what is out of range alike; here both have no
    answer.

    Args:
        folder: with run.json.

    Raises:
        SourceError: it is not such a folder, or a file there is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.report = _read_report(folder)
        weights = self.report.get("weights", {})
        self.about = {
            "run": folder.name,
            "weights": str(weights.get("name", "unknown")),
            "weights sha256": str(weights.get("sha256", "unknown")),
            "pose": str(self.report.get("pose", "unknown")),
            "gate": str(self.report.get("gate", "unknown")),
        }
        self._depths = {file.stem for file in (folder / "depth").glob("*.png")}
        self._motions = _read_motions(folder / "pairs.jsonl")
        self._poses = self._read_poses(folder / "poses.txt")

    @property
    def source(self) -> str:
        """What was run on, as it was typed."""
        return str(self.report["source"])

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Answers to those of the frames that the run has. Raises SourceError."""
        for frame in frames:
            if frame.name in self._depths:
                yield frame, self._answer(frame)

    def _answer(self, frame: Frame) -> Answer:
        name, size = f"{frame.name}.png", frame.camera.size
        return Answer(
            read_depth(self._folder / "depth" / name, 256.0, size),
            _read_ids(self._folder / "mask" / name, size),
            _read_ids(self._folder / "moving" / name, size),
            self._motions.get(frame.name),
            self._poses.get(frame.name),
        )

    def _read_poses(self, path: Path) -> dict[str, NDArray[np.float64]]:
        if not path.is_file() or not path.stat().st_size:
            return {}
        rows = read_numbers(path, columns=12)
        names = sorted(self._depths)
        if len(rows) < len(names):
            raise SourceError(f"{path} has {len(rows)} lines for {len(names)} depth images")
        poses = {}
        for name, row in zip(names, rows, strict=False):
            poses[name] = np.vstack((row.reshape(3, 4), (0, 0, 0, 1)))
        return poses


def is_run_folder(path: Path) -> bool:
    """Whether `depth-recog run` wrote this folder."""
    return (path / "run.json").is_file() and (path / "depth").is_dir()


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report, dict) or "source" not in report:
            raise ValueError("no source in it")
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: no report of depth-recog run ({error})") from error
    return report


def _read_motions(path: Path) -> dict[str, PairMotion]:
    """By the second frame's name; empty where the file is missing."""
    if not path.is_file():
        return {}
    motions = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            pair = json.loads(line)
            static = pair["static"]
            matrix = None if static is None else np.array(static, np.float64).reshape(4, 4)
            motions[pair["second"]] = PairMotion(pair["first"], matrix)
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path}, line {number}: not a pair's record ({error})") from error
    return motions


def _read_ids(path: Path, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.dtype != np.uint8 or ids.shape != size[::-1]:
        raise SourceError(f"{path}: not an 8-bit image of {size[0]}x{size[1]}: run again")
    return np.asarray(ids, np.uint8)
