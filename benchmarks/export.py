# SPDX-License-Identifier: Apache-2.0
"""Milliseconds of a frame's networks in torch and, exported, in onnxruntime.

python benchmarks/export.py [--network depth] [--rounds 40] [--threads 1] [--device cpu]

Both see the same picture and take turns; the first rounds warm up. CPU time beside the time on the
clock: on a machine that others use only the first says what the work costs.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from depth_recog.networks.device import choose_device
from depth_recog.networks.onnx.export import export_onnx
from depth_recog.networks.onnx.session import open_session
from depth_recog.networks.weights import header_of, load_network

SIZES = ((416, 128), (640, 192))
WARM_UP = 5


def timed(
    calls: dict[str, Callable[[], object]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds on the clock and of the processor, by name."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds + WARM_UP):
        for name, call in calls.items():
            start, used = time.perf_counter(), time.process_time()
            call()
            seconds[name].append((time.perf_counter() - start, time.process_time() - used))
    return {name: each[WARM_UP:] for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=("depth", "masks"), default="depth")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    header = header_of("", options.network)
    network, _ = load_network("", options.network, device)
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (h, w, 3), np.uint8) for w, h in SIZES]
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{platform.machine()}, {device}, {options.threads} threads; {versions}")
    print(f"{header.path.stem}, {options.rounds} rounds each")
    print(f"{'':<22} {'clock p10 p50 p90 (ms)':>26} {'processor p50 (ms)':>20}")
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        export_onnx(header, graph, None, pictures)
        session = open_session(graph, device)
        for picture in pictures:
            array = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255
            given = [array, np.array([240.0], np.float32)][: 2 if options.network == "depth" else 1]
            names = dict(zip((i.name for i in session.get_inputs()), given, strict=True))

            def by_torch(given: list[np.ndarray] = given) -> object:
                with torch.inference_mode():
                    return network(*(torch.from_numpy(g).to(device) for g in given)).cpu()

            calls = {"torch": by_torch, "onnxruntime": lambda n=names: session.run(None, n)}
            for name, each in timed(calls, options.rounds).items():
                clock, used = (1e3 * np.array(column) for column in zip(*each, strict=True))
                low, middle, high = np.percentile(clock, (10, 50, 90))
                size = f"{picture.shape[1]}x{picture.shape[0]}"
                print(
                    f"{size:<9} {name:<12} {low:>8.1f} {middle:>8.1f} {high:>8.1f} "
                    f"{np.median(used):>18.1f}"
                )


if __name__ == "__main__":
    main()
