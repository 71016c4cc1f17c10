# SPDX-License-Identifier: Apache-2.0
"""How fast is a source read on one core, and how much memory does that take?

python benchmarks/reading.py SOURCE [--frames 10000] [--json FILE]

Reads the source again and again until it has read this many frames, and gives ten figures on the
way. Decoding is included, the truth is not read.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import time
from itertools import chain, islice, repeat

import cv2
from common import label_of, parser_of, report, resident_mb

from depth_recog.datasets.sources import open_source

ROWS = 10


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("source")
    parser.add_argument("--frames", type=int, default=10_000)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start = time.perf_counter()
    sequence = open_source(options.source)
    opened = time.perf_counter() - start
    print(f"{label_of(options.source)}: {sequence.rate_hz:.2f} Hz, opened in {1e3 * opened:.0f} ms")
    frames = chain.from_iterable(repeat(sequence))
    piece = max(1, options.frames // ROWS)
    rows = []
    for row in range(ROWS):
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in islice(frames, piece))
        by_wall = count / (time.perf_counter() - wall)
        rows.append(
            {
                "frames": (row + 1) * piece,
                "frames/s": by_wall,
                "frames/s of CPU time": count / (time.process_time() - cpu),
                "times real time": by_wall / sequence.rate_hz,
                "resident, MB": resident_mb(),
                "peak, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
            }
        )
    report(options, rows)


if __name__ == "__main__":
    main()
