# SPDX-License-Identifier: Apache-2.0
"""Writes the folder of `depth-recog run`; `recorded_run` reads it.

depth/NAME.png     16 bit, 1/256 m, 0 where depth is invalid or out of range (KITTI's format), and
                   everywhere in frames before the scale was found
mask/NAME.png      class ids
moving/NAME.png    0 still, 1 undecided, 2 moving
uncertainty/NAME.png   with --uncertainty: 16 bit, standard deviation of log depth in 1/10000, 0
                   where depth is invalid
poses.txt          T_first_from_frame, 12 numbers a line, a line for each frame
pairs.jsonl        a JSON object for each pair of frames
run.json           options, weights and counts, written at the end
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import OutputError
from depth_recog.files import beside, create, write_whole
from depth_recog.interfaces.regions import record
from depth_recog.method.pair import Pair
from depth_recog.method.trajectory import Trajectory
from depth_recog.processed import ProcessedFrame

_STEPS_PER_METRE = 256
STEPS_OF_DEVIATION = 10000.0
"""Of the standard deviation of log depth, for 1."""
UNCERTAINTY = "uncertainty"


class RunWriter:
    """Writes the results of frames, each file and line complete as soon as it exists.

    Args:
        out: the folder; created where missing.
        uncertainty: whether the standard deviation is written.

    Raises:
        OutputError: it holds an earlier run, or cannot be written.
    """

    def __init__(self, out: Path, uncertainty: bool = False) -> None:
        self._out = out
        self._trajectory = Trajectory()
        self._known = True
        self._uncertainty = uncertainty
        if (out / "run.json").exists() or (out / "depth").exists():
            raise OutputError(
                f"{out}: contains an earlier run; give another folder, or remove this one"
            )
        try:
            for folder in ("depth", "mask", "moving", *([UNCERTAINTY] if uncertainty else [])):
                (out / folder).mkdir(parents=True, exist_ok=True)
            self._poses: TextIO = os.fdopen(_fresh(out / "poses.txt"), "w", encoding="utf-8")
            self._pairs: TextIO = os.fdopen(_fresh(out / "pairs.jsonl"), "w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{out}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Close the files."""
        self._poses.close()
        self._pairs.close()

    def write(self, processed: ProcessedFrame, known: bool = True) -> None:
        """Write the results of the next frame.

        Args:
            processed: the frame.
            known: whether its unit is; else no depth is written, and the path begins anew when it
                becomes known.

        Raises:
            OutputError: a file cannot be written.
        """
        maps, step = processed.at_input_size, processed.step
        name, depth = step.frame.name, maps.depth()
        metres = np.where(np.isfinite(depth) & known, depth, 0)
        self._image("depth", name, np.rint(metres * _STEPS_PER_METRE).astype(np.uint16))
        self._image("mask", name, maps.labels)
        self._image("moving", name, maps.moving)
        if self._uncertainty and (deviation := maps.deviation) is not None:
            steps = np.nan_to_num(deviation, nan=0.0) * STEPS_OF_DEVIATION
            self._image(UNCERTAINTY, name, np.rint(steps).clip(0, 65535).astype(np.uint16))
        if known != self._known:
            self._trajectory, self._known = Trajectory(), known
        pose = self._trajectory.add(step).T_first_from_frame
        self._line(self._poses, " ".join(f"{v:.9e}" for v in pose[:3].reshape(-1)))
        if step.pair is not None:
            self._line(self._pairs, json.dumps(pair_record(step.pair)))

    def report(self, content: dict[str, Any]) -> None:
        """Write run.json.

        Raises:
            OutputError: it cannot be written.
        """
        text = json.dumps(content, indent=2) + "\n"
        write_whole(self._out / "run.json", lambda path: path.write_text(text, encoding="utf-8"))

    def _image(
        self, folder: str, name: str, pixels: NDArray[np.uint8] | NDArray[np.uint16]
    ) -> None:
        path = self._out / folder / f"{name}.png"
        partial = beside(path)
        try:
            encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
            with os.fdopen(create(partial), "wb") as file:
                file.write(encoded.tobytes())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error

    def _line(self, file: TextIO, text: str) -> None:
        try:
            file.write(text + "\n")
            file.flush()
        except OSError as error:
            raise OutputError(f"{self._out}: cannot be written ({error.strerror})") from error


def _fresh(path: Path) -> int:
    """Open a text file for writing, in place of one that is there. Raises OSError."""
    path.unlink(missing_ok=True)
    return create(path)


def pair_record(pair: Pair) -> dict[str, Any]:
    """Return a pair as a JSON object, for pairs.jsonl; None for poses that failed."""

    def rows(matrix: NDArray[np.float64], known: bool) -> list[list[float]] | None:
        return matrix.tolist() if known else None

    # JSON has no infinity: an element without a threshold is null.
    thresholds = [
        [v if math.isfinite(v) else None for v in row] for row in pair.thresholds.tolist()
    ]
    result = pair.gate_result
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "dt": pair.seconds,
        "static": rows(pair.static.T_second_from_first, pair.static.ok),
        "dynamic": rows(pair.dynamic.T_second_from_first, pair.dynamic.ok),
        "target": rows(pair.target.T_second_from_first, pair.target.ok),
        "absolute_difference": rows(pair.absolute_difference, pair.static.ok and pair.dynamic.ok),
        "thresholds": thresholds,
        "decision": pair.decision.motion.name.lower(),
        "why": pair.decision.why,
        "regions": result and [record(region) for region in result.regions],
    }
