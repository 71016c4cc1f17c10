# SPDX-License-Identifier: Apache-2.0
"""Where a frame's time goes: the pipeline without ROS, part by part.

python benchmarks/parts.py [SOURCE] [--frames 100] [--threads 2] [--estimator pnp]
                           [--gate object] [--width 640] [--precision float32]

Threads wait as the commands have them wait (depth_recog/environment.py).
"""

from __future__ import annotations

import argparse
import platform
import time

from depth_recog import environment

environment.prepare()

import numpy as np
import torch

from depth_recog.datasets.sources import open_source
from depth_recog.method.geometry.viewport import Viewport, limit_depth
from depth_recog.method.masking import SKY
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import ESTIMATORS, assemble
from depth_recog.networks.precision import PRECISIONS

WARM_UP = 10
NETWORKS = ("depth network", "segmentation network")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="synthetic:street?seed=7")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--estimator", choices=ESTIMATORS, default="pnp")
    parser.add_argument("--gate", choices=GATES, default=Settings.gate)
    parser.add_argument("--width", type=int, default=0, help="see the parameter width")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequence = open_source(options.source)
    frames = [f for _, f in zip(range(options.frames + WARM_UP), sequence, strict=False)]
    settings = Settings(gate=options.gate, width=options.width)
    assembly = assemble(
        options.device,
        estimator=options.estimator,
        settings=settings,
        precision=options.precision,
    )
    size = assembly.network_size(frames[0].camera)
    view = Viewport.of(frames[0].camera, size)
    rows: dict[str, list[float]] = {}
    for index, frame in enumerate(frames):
        start = time.perf_counter()
        image = view.shrink(view.rectify(frame.image))
        prepared = time.perf_counter()
        step = assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network)
        recognized = time.perf_counter()
        sky = view.enlarge_labels(step.frame.labels) == SKY
        limit_depth(view.enlarge_depth(step.frame.depth), 0.1, 80.0, sky)
        end = time.perf_counter()
        if index < WARM_UP:
            continue
        parts = {"resizing in": prepared - start, **step.seconds, "resizing out": end - recognized}
        for part, seconds in parts.items():
            rows.setdefault(part, []).append(seconds * 1e3)
        rows.setdefault("all", []).append((end - start) * 1e3)
    size = f"{view.network.width}x{view.network.height}"
    print(f"{options.source}: {frames[0].image.shape[1]}x{frames[0].image.shape[0]} in, {size} net")
    count = len(rows["all"])
    where = f"{assembly.device} in {assembly.precision}"
    print(f"{platform.machine()}, {options.threads} threads, {where}, {count} frames")
    print(f"{'part':<24}{'p50 ms':>9}{'p90 ms':>9}")
    for part, values in rows.items():
        print(f"{part:<24}{np.median(values):>9.2f}{np.percentile(values, 90):>9.2f}")
    outside = sum(np.median(v) for k, v in rows.items() if k not in (*NETWORKS, "all"))
    print(f"{'outside the networks':<24}{outside:>9.2f}")


if __name__ == "__main__":
    main()
