# SPDX-License-Identifier: Apache-2.0
"""How fast is a network in onnxruntime, compared with torch?

python benchmarks/export.py [--network depth] [--rounds 40] [--threads 1] [--device cpu]
                            [--json FILE]

Milliseconds for one image at two sizes. Both get the same image and take turns; the first rounds
warm up. CPU time is given beside wall-clock time, because other work on the machine changes the
latter only.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from common import Row, parser_of, report
from numpy.typing import NDArray

from depth_recog.networks.device import choose_device
from depth_recog.networks.onnx.export import export_onnx
from depth_recog.networks.onnx.session import open_session
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import header_of

SIZES = ((416, 128), (640, 192))
FOCAL_LENGTH = 240.0
WARM_UP = 5


def timed(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """(rounds, 2) milliseconds of wall-clock and CPU time, by name."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds + WARM_UP):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: 1e3 * np.array(rows[WARM_UP:]) for name, rows in times.items()}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--network", choices=("depth", "masks"), default="depth")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    header = header_of("", options.network)
    network, _ = load_network("", options.network, str(device))
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        export_onnx(header, graph, None, images)
        session = open_session(graph, device)
        for (width, height), image in zip(SIZES, images, strict=True):
            array = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
            given = [array, np.array([FOCAL_LENGTH], np.float32)]
            given = given if options.network == "depth" else given[:1]
            names = dict(zip((i.name for i in session.get_inputs()), given, strict=True))

            def in_torch(given: list[NDArray[np.float32]] = given) -> object:
                with torch.inference_mode():
                    return network(*(torch.from_numpy(g).to(str(device)) for g in given)).cpu()

            calls = {"torch": in_torch, "onnxruntime": lambda n=names: session.run(None, n)}
            for runtime, times in timed(calls, options.rounds).items():
                p10, p50, p90 = np.percentile(times[:, 0], (10, 50, 90))
                row = {"weights": header.path.stem, "size": f"{width}x{height}", "runtime": runtime}
                row |= {"p10, ms": p10, "p50, ms": p50, "p90, ms": p90}
                rows.append({**row, "CPU p50, ms": np.median(times[:, 1])})
    report(options, rows)


if __name__ == "__main__":
    main()
