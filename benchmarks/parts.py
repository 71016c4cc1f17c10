# SPDX-License-Identifier: Apache-2.0
"""How long does each part of the pipeline take for a frame, without ROS?

python benchmarks/parts.py [SOURCE[@A:B]] [--threads 2] [--estimator pnp] [--gate object]
                           [--width 640] [--precision float32] [--json FILE]

Milliseconds of wall-clock time, median and 90th percentile; the first frames warm up and do not
count. Threads are set up as the commands set them up (depth_recog/environment.py).
"""

from __future__ import annotations

import time

from depth_recog import environment

environment.prepare()  # before torch is imported

import numpy as np
import torch
from common import parser_of, recording, report

from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.backends.choice import PRECISIONS
from depth_recog.networks.factory import ESTIMATORS, NetworkOptions, assemble
from depth_recog.pipeline import Pipeline

WARM_UP = 10
NETWORKS = ("depth network", "segmentation network")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("source", nargs="?", default="synthetic:street?seed=7@0:110")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--estimator", choices=ESTIMATORS, default="pnp")
    parser.add_argument("--gate", choices=GATES, default=Settings.gate)
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequence, indices = recording(options.source)
    frames = [sequence[index] for index in indices]
    assembly = assemble(
        NetworkOptions(
            estimator=options.estimator, device=options.device, precision=options.precision
        ),
        Settings(gate=options.gate, width=options.width),
    )
    pipeline = Pipeline(assembly)
    pipeline.set_camera(frames[0].camera)
    times: dict[str, list[float]] = {}
    for index, frame in enumerate(frames):
        start = time.perf_counter()
        prepared = pipeline.prepare(frame.name, frame.stamp_ns, frame.image)
        ready = time.perf_counter()
        processed = pipeline.recognize(prepared)
        recognized = time.perf_counter()
        processed.at_input_size.depth()
        end = time.perf_counter()
        if index >= WARM_UP:
            parts = {"rectify, resize": ready - start, **processed.step.seconds}
            parts |= {"depth at input size": end - recognized, "all": end - start}
            for part, seconds in parts.items():
                times.setdefault(part, []).append(seconds * 1e3)
    outside = sum(np.median(v) for k, v in times.items() if k not in (*NETWORKS, "all"))
    view = prepared.view
    print(f"{view.camera.size} in, network {view.network.size}, {assembly.precision}")
    rows = [
        {"part": part, "p50, ms": np.median(values), "p90, ms": np.percentile(values, 90)}
        for part, values in times.items()
    ]
    report(options, [*rows, {"part": "all but the networks", "p50, ms": outside}])


if __name__ == "__main__":
    main()
