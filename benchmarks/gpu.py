# SPDX-License-Identifier: Apache-2.0
"""What a GPU gives: time of a frame, images a second, agreement with the processor, training steps.

python benchmarks/gpu.py [--frames 200] [--json benchmarks/results/gpu.json]

Fills the table in one run of a few minutes. It was written without a GPU at hand.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from depth_recog import environment

environment.prepare()

import numpy as np
import torch
from common import ROOT, parser_of, report

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.pipeline import Pipeline

SIZES = ((416, 128), (640, 192))
NETWORKS = ("depth network", "segmentation network")
WARM_UP = 20


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu.py: torch sees no GPU here")
    frames = list(SyntheticStreet(seed=7, frames=60, width=1242, height=375))
    rows = [row for size in SIZES for row in measured(size, frames, options.frames)]
    report(options, rows)
    # One optimiser step of training: plain, ours, in bfloat16.
    script = str(ROOT / "benchmarks" / "training.py")
    subprocess.run([sys.executable, script, "--device", "cuda"], check=False)


def measured(size: tuple[int, int], frames: list[Any], count: int) -> list[dict[str, Any]]:
    """A row for each precision at a size."""
    exact = run("cpu", "float32", size, frames, 20)[1]
    rows = []
    for precision in ("float32", "bfloat16"):
        torch.cuda.reset_peak_memory_stats()
        parts, depths = run("cuda", precision, size, frames, count)
        p50, p99 = np.percentile(parts["all"], (50, 99))
        outside = np.array(parts["all"]) - sum(np.array(parts[name]) for name in NETWORKS)
        errors = [float(np.abs(a / b - 1).mean()) for a, b in zip(depths, exact, strict=False)]
        rows.append(
            {
                "size": f"{size[0]}x{size[1]}",
                "precision": precision,
                "p50, ms": p50,
                "p99, ms": p99,
                "images a second": 1e3 / float(np.mean(parts["all"])),
                "outside the networks, ms": float(np.median(outside)),
                "depth differs from the processor": float(np.mean(errors)),
                "GPU memory, MB": torch.cuda.max_memory_allocated() / 1e6,
            }
        )
    return rows


def run(
    device: str, precision: str, size: tuple[int, int], frames: list[Any], count: int
) -> tuple[dict[str, list[float]], list[Any]]:
    """Milliseconds by part of every frame, and the depths of the first ones."""
    networks = NetworkOptions(device=device, precision=precision, backend="torch")
    pipeline = Pipeline(assemble(networks, Settings(width=size[0])))
    parts: dict[str, list[float]] = {"all": [], **{name: [] for name in NETWORKS}}
    depths = []
    for index in range(count + WARM_UP):
        start = time.perf_counter()
        processed = pipeline.process(frames[index % len(frames)])
        processed.at_input_size.depth()
        seconds = time.perf_counter() - start
        if index < len(frames) // 3:
            depths.append(processed.step.frame.depth)
        if index >= WARM_UP:
            parts["all"].append(seconds * 1e3)
            for name in NETWORKS:
                parts[name].append(processed.step.seconds.get(name, 0.0) * 1e3)
    return parts, depths


if __name__ == "__main__":
    main()
