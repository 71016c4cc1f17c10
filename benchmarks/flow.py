# SPDX-License-Identifier: Apache-2.0
"""Sparse and dense optical flow beside the synthetic street's exact flow, and their time.

python benchmarks/flow.py [SOURCE...] [--frames 30]

End-point error in pixels of the features that were found again, on the background and on what can
move; what is off by more than a pixel are edges of things before other things, mostly. Time of one
pair, there and back, without the features'.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.masking import PresetRules
from depth_recog.method.tracking.correspondences import at
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.flow import FLOWS

SCENES = ("parked", "street", "crossing")
SIZES = ("416x128", "640x192")


def judge(sequence: Recording, frames: int) -> list[str]:
    """Cells of every flow's row."""
    errors: dict[str, list[np.ndarray]] = {name: [] for name in FLOWS}
    movable: dict[str, list[np.ndarray]] = {name: [] for name in FLOWS}
    times: dict[str, list[float]] = {name: [] for name in FLOWS}
    tried: dict[str, int] = dict.fromkeys(FLOWS, 0)
    greys = [cv2.cvtColor(sequence[i].image, cv2.COLOR_RGB2GRAY) for i in range(frames + 1)]
    for i in range(frames):
        truth = sequence.truth(i)
        if truth.flow is None or truth.labels is None:
            raise SourceError("a source with exact flow and labels is needed: synthetic:SCENE")
        dynamic = PresetRules().dynamic_pixels(truth.labels)
        features = find_features(greys[i], dynamic)
        for name, flow in FLOWS.items():
            start = time.perf_counter()
            found = flow(greys[i], greys[i + 1], features)
            times[name].append(time.perf_counter() - start)
            u, v = np.rint(found.first).astype(int).T
            errors[name].append(
                np.linalg.norm(found.second - found.first - truth.flow[v, u], axis=1)
            )
            movable[name].append(at(dynamic, found.first))
            tried[name] += found.tried
    rows = []
    for name in FLOWS:
        off, on = np.concatenate(errors[name]), np.concatenate(movable[name])
        known = np.isfinite(off)
        cells = [
            f"{np.median(part):.2f}, {100 * np.mean(part > 1):.0f}" if len(part) else "-"
            for part in (off[known & ~on], off[known & on])
        ]
        share, spent = len(off) / tried[name], np.median(times[name])
        rows.append(f"{name} | {100 * share:.0f} | {' | '.join(cells)} | {1e3 * spent:.1f}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--frames", type=int, default=30)
    options = parser.parse_args()
    sources = options.sources or [
        f"synthetic:{scene}?seed=9&width={size.split('x')[0]}&height={size.split('x')[1]}"
        for size in SIZES
        for scene in SCENES
    ]
    print("| source | flow | found, % | background: p50, px; > 1 px, % | movable | ms |")
    print("|---|---|---|---|---|---|")
    for source in sources:
        sequence = open_source(source)
        if not isinstance(sequence, Recording):
            raise SourceError(f"{source}: a recording with truth is needed")
        for row in judge(sequence, options.frames):
            print(f"| {source} | {row} |", flush=True)


if __name__ == "__main__":
    main()
