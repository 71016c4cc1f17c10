# SPDX-License-Identifier: Apache-2.0
"""The shipped depth beside trivial baselines, on a drive with LiDAR truth.

python benchmarks/accuracy.py DRIVE [--fit 0:77] [--judge 77:154]

The row-mean baseline is fitted on one part of the drive and judged, like the network, on another.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.viewport import Viewport
from depth_recog.networks.factory import assemble
from depth_recog.training.judge import FARTHEST, depth_errors, summary

CAMERA_HEIGHT = 1.65

Depth = NDArray[np.float32]


def part(text: str) -> range:
    first, last = text.split(":")
    return range(int(first), int(last))


def row_mean(sequence: Recording, frames: range) -> Depth:
    """(H, W) mean log depth of each row, rows without truth filled from their neighbours."""
    truths = np.stack([sequence.truth(i).depth for i in frames])
    logs = np.log(np.where(truths > 0, truths, np.nan))
    known = np.isfinite(logs)
    counts = known.sum((0, 2))
    sums = np.where(known, logs, 0).sum((0, 2))
    rows = np.flatnonzero(counts)
    means = np.interp(np.arange(truths.shape[1]), rows, sums[rows] / counts[rows])
    return np.repeat(np.exp(means)[:, None], truths.shape[2], 1).astype(np.float32)


def ground_plane(frame: Frame) -> Depth:
    """(H, W) depth of a level road under a level camera; the horizon and above: the farthest."""
    below = np.arange(frame.camera.height) - frame.camera.cy
    depth = np.where(below > 0, CAMERA_HEIGHT * frame.camera.fy / np.maximum(below, 1e-3), FARTHEST)
    return np.repeat(np.minimum(depth, FARTHEST)[:, None], frame.camera.width, 1).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drive")
    parser.add_argument("--fit", type=part, default=range(77))
    parser.add_argument("--judge", type=part, default=range(77, 154))
    parser.add_argument("--weights", default="")
    options = parser.parse_args()
    sequence = open_source(options.drive)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{options.drive}: a recording with depth truth is needed")
    assembly = assemble("cpu", options.weights)
    view = Viewport.of(sequence[0].camera, assembly.network_size(sequence[0].camera))
    rows = row_mean(sequence, options.fit)

    def network(frame: Frame) -> Depth:
        image = view.shrink(view.rectify(frame.image))
        return assembly.recognizer.observe(frame.name, 0, image, view.network).depth

    methods: dict[str, Callable[[Frame], Depth]] = {
        "constant 15 m": lambda frame: np.full(rows.shape, 15, np.float32),
        "ground plane": ground_plane,
        "row mean": lambda frame: rows,
        assembly.depth.path.stem: network,
    }
    print(f"{options.drive}, frames {options.judge.start} to {options.judge.stop - 1}")
    columns = ("abs_rel", "abs_rel_median_scaled", "a1_median_scaled", "scale_median")
    print(f"{'':<16}" + "".join(f"{c:>23}" for c in (*columns, "scale_spread")))
    for name, method in methods.items():
        errors = [
            depth_errors(method(sequence[i]), np.asarray(sequence.truth(i).depth))
            for i in options.judge
        ]
        figures = summary(errors)
        print(f"{name:<16}" + "".join(f"{v:>23.3f}" for v in figures.values()))


if __name__ == "__main__":
    main()
