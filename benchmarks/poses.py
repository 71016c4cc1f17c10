# SPDX-License-Identifier: Apache-2.0
"""Static pose and the gate on recordings with true poses, by estimator.

python benchmarks/poses.py SOURCE[@FIRST:LAST]... [--estimators pnp epipolar network]
                           [--size 640x192]

Rotation error in degrees, of a pair and divided by the frames that it spans; translation error in
percent of the true translation's length, as it is and with the recording's median length put
right; pairs that moved less than 10 cm are left out of it. NEES: the error squared in units of the
claimed covariance, over its 5 degrees of freedom (the length, which is D1's, is left out), median
and mean; 1 is honest, more is too sure.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.geometry.se3 import inverse_matrix, relative, rotation_angle
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import ESTIMATORS, assemble

LEAST_STEP = 0.1
# Medians of the chi-square distribution.
MEDIAN_5 = 4.351
Float = NDArray[np.float64]


def nees(found: PoseEstimate, truth: Float) -> float:
    """Squared error in units of the covariance; the translation's length is left open."""
    if found.covariance is None:
        return np.nan
    T = found.T_second_from_first
    way = np.concatenate((np.zeros(3), T[:3, 3] / np.linalg.norm(T[:3, 3])))
    factor = np.linalg.norm(truth[:3, 3]) / np.linalg.norm(T[:3, 3])
    units = np.repeat((1.0, factor), 3)
    turn = cv2.Rodrigues(T[:3, :3] @ truth[:3, :3].T)[0][:, 0]
    off = np.concatenate((turn, factor * T[:3, 3] - truth[:3, 3]))
    claimed = found.covariance * np.outer(units, units) + 1e4 * np.outer(way, way)
    return float(off @ np.linalg.solve(claimed, off))


def summary(found: Sequence[PoseEstimate], truths: Sequence[Float], frames: Sequence[int]) -> str:
    """Cells of the table."""
    turns = [
        np.degrees(rotation_angle(f.T_second_from_first @ inverse_matrix(t)))
        for f, t in zip(found, truths, strict=True)
    ]
    a_frame = np.array(turns) / frames
    moved = [k for k, t in enumerate(truths) if np.linalg.norm(t[:3, 3]) > LEAST_STEP]
    cells = [f"{np.median(turns):.3f}, {np.percentile(turns, 90):.3f}", f"{np.median(a_frame):.3f}"]
    if not moved:
        return " | ".join([*cells, "-", "-", "-", "-"])
    ours = np.array([found[k].T_second_from_first[:3, 3] for k in moved])
    true = np.array([truths[k][:3, 3] for k in moved])
    lengths = np.linalg.norm(true, axis=1)
    ratio = np.median(lengths / np.linalg.norm(ours, axis=1))
    shares = [np.linalg.norm(k * ours - true, axis=1) / lengths for k in (1.0, ratio)]
    cells += [*(f"{100 * np.median(share):.1f}" for share in shares), f"{1 / ratio:.3f}"]
    squares = [nees(found[k], truths[k]) for k in moved]
    known = np.isfinite(squares).all()
    honest = f"{np.median(squares) / MEDIAN_5:.1f}, {np.mean(squares) / 5:.1f}"
    return " | ".join([*cells, honest if known else "-"])


def judge(sequence: Recording, frames: range, estimator: str, options: argparse.Namespace) -> str:
    """One row of the table."""
    assembly = assemble("cpu", estimator=estimator, settings=Settings())
    camera = sequence[frames.start].camera
    size = assembly.network_size(camera)
    if options.size:
        size = tuple(int(side) for side in options.size.split("x"))
    view = Viewport.of(camera, size)
    found, truths, spans, gaps, times = [], [], [], [], []
    decisions: Counter[str] = Counter()
    poses, places = {}, {}
    for index in frames:
        frame = sequence[index]
        poses[frame.name], places[frame.name] = sequence.truth(index).world_from_camera, index
        image = view.shrink(view.rectify(frame.image))
        step = assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network)
        pair = step.pair
        if pair is None:
            continue
        decisions[pair.decision.motion.name.lower()] += 1
        times.append(1e3 * step.seconds["static pose"])
        if not pair.static.ok:
            decisions["no static pose"] += 1
            continue
        found.append(pair.static)
        truths.append(relative(poses[pair.first.name], poses[pair.second.name]))
        spans.append(index - places[pair.first.name])
        gaps.append(pair.seconds)
    gate = ", ".join(f"{name} {count}" for name, count in sorted(decisions.items()))
    return (
        f"| {estimator} | {summary(found, truths, spans)} | {np.mean(gaps):.2f} "
        f"| {np.median(times):.1f} | {gate} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--size", default="", help="of the networks' input, WxH")
    options = parser.parse_args()
    for entry in options.sources:
        source, _, span = entry.partition("@")
        sequence = open_source(source)
        if not isinstance(sequence, Recording):
            raise SourceError(f"{source}: a recording with poses is needed")
        first, last = (int(n) for n in (span or "0:200").split(":"))
        frames = range(first, min(last, len(sequence)))
        print(f"\n{source}, frames {frames.start} to {frames.stop - 1}\n")
        print(
            "| estimator | rotation p50, p90, deg a pair | a frame | translation p50, % "
            "| length put right | length | NEES | gap, s | ms | gate |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for estimator in options.estimators:
            print(judge(sequence, frames, estimator, options), flush=True)


if __name__ == "__main__":
    main()
