# SPDX-License-Identifier: Apache-2.0
"""Static pose and the literal gate on recordings with true poses, by estimator.

python benchmarks/poses.py SOURCE... [--first 0] [--last 200] [--estimators pnp epipolar network]

Rotation error in degrees, translation error in percent of the true translation's length; pairs
that moved less than 10 cm are left out of the latter.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.se3 import inverse_matrix, relative, rotation_angle
from depth_recog.method.viewport import Viewport
from depth_recog.networks.factory import ESTIMATORS, assemble

LEAST_STEP = 0.1


def judge(sequence: Recording, frames: range, estimator: str) -> str:
    """One row of the table."""
    assembly = assemble("cpu", estimator=estimator)
    camera = sequence[frames.start].camera
    view = Viewport.of(camera, assembly.network_size(camera))
    turns, shares, scales, gaps = [], [], [], []
    decisions: Counter[str] = Counter()
    poses = {}
    for index in frames:
        frame = sequence[index]
        poses[frame.name] = sequence.truth(index).world_from_camera
        image = view.shrink(view.rectify(frame.image))
        pair = assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network).pair
        if pair is None:
            continue
        decisions[pair.decision.motion.name.lower()] += 1
        if not pair.static.ok:
            decisions["no static pose"] += 1
            continue
        found = pair.static.T_second_from_first
        truth = relative(poses[pair.first.name], poses[pair.second.name])
        turns.append(np.degrees(rotation_angle(found @ inverse_matrix(truth))))
        gaps.append(pair.seconds)
        length = np.linalg.norm(truth[:3, 3])
        if length > LEAST_STEP:
            shares.append(100 * np.linalg.norm(found[:3, 3] - truth[:3, 3]) / length)
            scales.append(np.linalg.norm(found[:3, 3]) / length)
    summary = ", ".join(f"{name} {count}" for name, count in sorted(decisions.items()))
    return (
        f"| {estimator} | {np.median(turns):.3f} | {np.percentile(turns, 90):.3f} "
        f"| {np.median(shares):.1f} | {np.median(scales):.3f} | {np.mean(gaps):.2f} | {summary} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=200)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    options = parser.parse_args()
    for source in options.sources:
        sequence = open_source(source)
        if not isinstance(sequence, Recording):
            raise SourceError(f"{source}: a recording with poses is needed")
        frames = range(options.first, min(options.last, len(sequence)))
        print(f"\n{source}, frames {frames.start} to {frames.stop - 1}\n")
        print(
            "| estimator | rotation p50, deg | p90 | translation p50, % | length | gap, s | gate |"
        )
        print("|---|---|---|---|---|---|---|")
        for estimator in options.estimators:
            print(judge(sequence, frames, estimator), flush=True)


if __name__ == "__main__":
    main()
