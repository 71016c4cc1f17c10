# SPDX-License-Identifier: Apache-2.0
"""How long does a frame take with this package, with its earlier commit, and with other methods?

python benchmarks/side_by_side.py [--before COMMIT] [--rounds 12] [--frames 10] [--methods ...]
                                  [--json benchmarks/results/side_by_side.json]

The methods run in turns about, a few frames each, in processes of their own, on the same frames of
the synthetic street (1242x375). `ours` is the whole frame: masks, depth, poses, gate, and the depth
at the input's size. `naive` is the patent's order on Monodepth2's networks as published: depth and
three pose passes, no masks. Depth Anything V2 Small gives depth alone. Networks that are not ours
have random weights: the time does not depend on them. Milliseconds; the spread is over the rounds'
medians. Memory is what the process holds at the end.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, parser_of, report

from depth_recog.networks.backends.choice import BACKENDS, installed

SIZES = ((416, 128), (640, 192), (832, 256), (1024, 320))
OURS = tuple(f"ours:{name}" for name in BACKENDS[1:] if installed(name))
OTHERS = ("naive", "depth-anything-v2-small:torch", "depth-anything-v2-small:openvino")


class Worker:
    """A method in a process of its own.

    Args:
        name: of the method.
        method: see rivals/worker.py.
        tree: the checkout whose package it imports.
    """

    def __init__(self, name: str, method: str, tree: Path) -> None:
        self.name = name
        self.seconds: dict[tuple[int, int], list[list[float]]] = {}
        self.memory = 0.0
        # The script's own folder comes first on the path; the package is that of `tree`.
        environment = os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT / 'benchmarks'}"}
        command = [sys.executable, str(ROOT / "benchmarks" / "rivals" / "worker.py"), method]
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=tree,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def turn(self, size: tuple[int, int], frames: int) -> None:
        """Process some frames, and keep their times."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{size[0]} {size[1]} {frames}\n")
        self.process.stdin.flush()
        found = self._answer()
        self.seconds.setdefault(size, []).append(found["seconds"])
        self.memory = found["memory"]

    def ready(self) -> bool:
        """Wait until it is loaded; False where it cannot run here."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip() == "ready"

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--before", metavar="COMMIT", help="an earlier commit of this repository")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--frames", type=int, default=10, help="of a method in each turn")
    parser.add_argument("--methods", nargs="*", default=[*OURS, *OTHERS])
    parser.add_argument("--sizes", nargs="*", default=["x".join(map(str, s)) for s in SIZES])
    options = parser.parse_args()
    sizes = [tuple(map(int, text.split("x"))) for text in options.sizes]
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(name, name, ROOT) for name in options.methods]
        if options.before:
            tree = extracted(options.before, Path(folder))
            workers.append(Worker(f"ours at {options.before}", "ours:auto", tree))
        workers = [worker for worker in workers if worker.ready()]
        try:
            for _ in range(options.rounds):
                for size in sizes:
                    for worker in workers:
                        worker.turn(size, options.frames)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
    first = workers[0]
    report(options, [row(worker, size, first) for size in sizes for worker in workers])


def row(worker: Worker, size: tuple[int, int], first: Worker) -> dict[str, Any]:
    """A line of the table."""
    rounds = np.array(worker.seconds[size]) * 1e3
    p50, p99 = np.percentile(rounds, (50, 99))
    medians = np.median(rounds, 1)
    # Of two neighbours in time, so that what slows the machine slows both.
    pairs = np.median(np.array(first.seconds[size]), 1) * 1e3 / medians
    return {
        "size": f"{size[0]}x{size[1]}",
        "method": worker.name,
        "p50, ms": float(p50),
        "p99, ms": float(p99),
        "medians": f"{medians.min():.3g} to {medians.max():.3g}",
        "ms per megapixel": float(p50) / (size[0] * size[1] / 1e6),
        f"{first.name} takes": f"{float(np.median(pairs)):.2f} of it",
        "memory, MB": worker.memory,
    }


def extracted(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    command = ["git", "-C", str(ROOT), "archive", commit]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


if __name__ == "__main__":
    main()
