# SPDX-License-Identifier: Apache-2.0
"""How large are the odometry's errors, and how large does its covariance say they are?

python benchmarks/odometry.py SOURCE[@A:B]... [--json FILE]

Sources need true poses. For pairs: the root mean square of the error, of the standard deviation
that the twist's covariance claims, and of the one that the static pose claims (`raw`: without the
error of the depth's scale). For the path, at half of it and at its end: the error and the claimed
standard deviation. Standard deviations are over all three axes, in degrees and metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import label_of, parser_of, recording, report
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import inverse_matrix, relative, rotation_angle
from depth_recog.method.pair import Pair
from depth_recog.method.trajectory import Place, Trajectory
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.pipeline import Pipeline

LEAST_STEP_M = 0.1


def claimed(covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Standard deviations of the rotation (degrees) and the translation over the three axes."""
    rotation, translation = np.trace(covariance[:3, :3]), np.trace(covariance[3:, 3:])
    return float(np.degrees(np.sqrt(rotation))), float(np.sqrt(translation))


def errors(found: NDArray[np.float64], true: NDArray[np.float64]) -> tuple[float, float]:
    """Errors of the rotation (degrees) and the translation."""
    rotation = np.degrees(rotation_angle(found @ inverse_matrix(true)))
    return float(rotation), float(np.linalg.norm(found[:3, 3] - true[:3, 3]))


def of_pair(pair: Pair, place: Place, true: NDArray[np.float64]) -> list[float]:
    """Error, claim, raw claim (degrees and metres each), and the ratio of the lengths."""
    T = pair.static.T_second_from_first
    assert pair.static.covariance is not None
    claim = claimed(place.twist_covariance * pair.seconds**2)
    length = np.linalg.norm(true[:3, 3])
    ratio = np.linalg.norm(T[:3, 3]) / length if length > LEAST_STEP_M else np.nan
    return [*errors(T, true), *claim, *claimed(pair.static.covariance), float(ratio)]


def judge(source: str) -> dict[str, Any]:
    """One row of the table."""
    sequence, frames = recording(source)
    pipeline, trajectory = Pipeline(assemble(NetworkOptions(device="cpu"))), Trajectory()
    poses: dict[str, NDArray[np.float64]] = {}
    pairs, path, metres = [], [], 0.0
    for index in frames:
        frame, pose = sequence[index], sequence.truth(index).world_from_camera
        if poses:
            metres += float(np.linalg.norm(pose[:3, 3] - next(reversed(poses.values()))[:3, 3]))
        poses[frame.name] = pose
        step = pipeline.process(frame).step
        place, pair = trajectory.add(step), step.pair
        here = inverse_matrix(next(iter(poses.values()))) @ pose
        path.append((metres, *errors(place.T_first_from_frame, here), *claimed(place.covariance)))
        if pair is not None and pair.static.ok:
            true = relative(poses[pair.first.name], poses[pair.second.name])
            pairs.append(of_pair(pair, place, true))
    columns = [f"pair {kind}, {u}" for kind in ("error", "claim", "raw") for u in ("deg", "m")]
    row = dict(zip(columns, np.sqrt(np.mean(np.square(pairs), axis=0)), strict=False))
    ratio = np.array(pairs)[:, -1]
    row |= {"length ratio": np.nanmean(ratio), "its deviation": np.nanstd(ratio)}
    for name, values in (("half", path[len(path) // 2]), ("end", path[-1])):
        columns = ["path, m", "error, deg", "error, m", "claim, deg", "claim, m"]
        row |= {f"{name}: {c}": v for c, v in zip(columns, values, strict=True)}
    return {"source": label_of(source), **row}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE[@A:B]")
    options = parser.parse_args()
    report(options, [judge(source) for source in options.sources])


if __name__ == "__main__":
    main()
