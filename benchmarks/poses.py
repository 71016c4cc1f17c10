# SPDX-License-Identifier: Apache-2.0
"""How accurate is the static pose of each estimator, and how honest is its covariance?

python benchmarks/poses.py SOURCE[@A:B]... [--estimators pnp epipolar network] [--json FILE]

Sources need true poses. Rotation errors are in degrees, of a pair and divided by the frames that
the pair spans; translation errors in percent of the true length, as found and after scaling by the
recording's median length ratio, over pairs that moved at least 10 cm. NEES is the squared error in
units of the claimed covariance divided by its 5 degrees of freedom (the translation's length, which
is the depth's, is left out): 1 is honest, more is overconfident; its median is divided by that of
the chi-square distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from common import label_of, parser_of, recording, report
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording
from depth_recog.method.geometry.se3 import inverse_matrix, relative, rotation_angle
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.networks.factory import ESTIMATORS, NetworkOptions, assemble
from depth_recog.pipeline import Pipeline

LEAST_STEP_M = 0.1
FREEDOM, MEDIAN_CHI_SQUARE = 5, 4.351


@dataclass(frozen=True)
class Judged:
    """The static pose of a pair beside the true one.

    Attributes:
        found: by the estimator.
        true: (4, 4) T_second_from_first, metres.
        frames: how many frames the pair is apart.
        seconds: likewise, in seconds.
        milliseconds: that the estimator took.
    """

    found: PoseEstimate
    true: NDArray[np.float64]
    frames: int
    seconds: float
    milliseconds: float


def nees(judged: Judged) -> float:
    """Squared error in units of the covariance, whatever the length of the translation."""
    T, true = judged.found.T_second_from_first, judged.true
    if judged.found.covariance is None:
        return float("nan")
    along = np.concatenate((np.zeros(3), T[:3, 3] / np.linalg.norm(T[:3, 3])))
    factor = np.linalg.norm(true[:3, 3]) / np.linalg.norm(T[:3, 3])
    units = np.repeat((1.0, factor), 3)
    rotation = cv2.Rodrigues(T[:3, :3] @ true[:3, :3].T)[0][:, 0]
    error = np.concatenate((rotation, factor * T[:3, 3] - true[:3, 3]))
    claimed = judged.found.covariance * np.outer(units, units) + 1e4 * np.outer(along, along)
    return float(error @ np.linalg.solve(claimed, error))


def figures(pairs: Sequence[Judged]) -> dict[str, Any]:
    """The columns of the table."""
    degrees = np.degrees(
        [rotation_angle(p.found.T_second_from_first @ inverse_matrix(p.true)) for p in pairs]
    )
    row = {
        "rotation p50, deg": np.median(degrees),
        "rotation p90, deg": np.percentile(degrees, 90),
        "a frame, deg": np.median(degrees / [p.frames for p in pairs]),
        "gap, s": np.mean([p.seconds for p in pairs]),
        "ms": np.median([p.milliseconds for p in pairs]),
    }
    moved = [p for p in pairs if np.linalg.norm(p.true[:3, 3]) > LEAST_STEP_M]
    if not moved:
        return row
    found = np.array([p.found.T_second_from_first[:3, 3] for p in moved])
    true = np.array([p.true[:3, 3] for p in moved])
    lengths = np.linalg.norm(true, axis=1)
    ratio = np.median(lengths / np.linalg.norm(found, axis=1))
    for name, scale in (("translation p50, %", 1.0), ("scaled, %", ratio)):
        row[name] = 100 * np.median(np.linalg.norm(scale * found - true, axis=1) / lengths)
    row["length found / true"] = 1 / ratio
    squares = [nees(p) for p in moved]
    if np.isfinite(squares).all():
        row["NEES median"] = np.median(squares) / MEDIAN_CHI_SQUARE
        row["NEES mean"] = np.mean(squares) / FREEDOM
    return row


def judge(sequence: Recording, frames: range, estimator: str) -> dict[str, Any]:
    """One row of the table."""
    pipeline = Pipeline(assemble(NetworkOptions(estimator=estimator, device="cpu")))
    poses, places = {}, {}
    found: list[Judged] = []
    counts: Counter[str] = Counter()
    for index in frames:
        frame = sequence[index]
        poses[frame.name], places[frame.name] = sequence.truth(index).world_from_camera, index
        step = pipeline.process(frame).step
        pair = step.pair
        if pair is None:
            continue
        counts["pairs"] += 1
        counts[pair.decision.motion.name.lower()] += 1
        if pair.static.ok:
            true = relative(poses[pair.first.name], poses[pair.second.name])
            apart = index - places[pair.first.name]
            milliseconds = 1e3 * step.seconds["static pose"]
            found.append(Judged(pair.static, true, apart, pair.seconds, milliseconds))
    counts["without a static pose"] = counts["pairs"] - len(found)
    return {"estimator": estimator, **(figures(found) if found else {}), **counts}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE[@A:B]")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    options = parser.parse_args()
    rows = []
    for source in options.sources:
        sequence, frames = recording(source)
        label = {"source": label_of(source)}
        rows += [label | judge(sequence, frames, estimator) for estimator in options.estimators]
    report(options, rows)


if __name__ == "__main__":
    main()
