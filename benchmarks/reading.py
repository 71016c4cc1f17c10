# SPDX-License-Identifier: Apache-2.0
"""How fast a source is read on one core, and how much memory it holds.

python benchmarks/reading.py SOURCE [--frames 10000]

Loops over the source until so many frames were read; decoding included, truth not.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import time
from itertools import chain, islice, repeat
from pathlib import Path

import cv2

from depth_recog.datasets.sources import open_source

ROWS = 10


def resident_mb() -> float:
    """Memory that this process holds now, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--frames", type=int, default=10_000)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start = time.perf_counter()
    sequence = open_source(options.source)
    opened = time.perf_counter() - start
    load = os.getloadavg()[0]
    print(f"{options.source}: {sequence.rate_hz:.2f} Hz, opened in {opened * 1e3:.0f} ms")
    print(f"load average before: {load:.1f} on {os.cpu_count()} cores")
    print(f"{'frames':>8}{'frames/s':>10}{'of CPU':>10}{'times the rate':>16}{'resident MB':>13}")
    frames = chain.from_iterable(repeat(sequence))
    piece = max(1, options.frames // ROWS)
    for row in range(ROWS):
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in islice(frames, piece))
        by_wall = count / (time.perf_counter() - wall)
        by_cpu = count / (time.process_time() - cpu)
        times = by_wall / sequence.rate_hz
        total = (row + 1) * piece
        print(f"{total:>8}{by_wall:>10.0f}{by_cpu:>10.0f}{times:>16.1f}{resident_mb():>13.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak {peak:.1f} MB")


if __name__ == "__main__":
    main()
