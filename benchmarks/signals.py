# SPDX-License-Identifier: Apache-2.0
"""Do the nodes end cleanly when they get SIGINT or SIGTERM at a random moment, and how fast?

python benchmarks/signals.py [--times 20] [--at-once 4] [--json FILE]

The signal comes at any time between the installation of the handlers and twice the time that
configuring takes. `clean` is an exit status of 0 without a traceback. Exits with 1 where an end was
not clean.
"""

from __future__ import annotations

import random
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor

from common import parser_of, report, use_local_ros

use_local_ros()

import ros_processes as rp

LATEST_S = {"depth_node": 8.0, "camera_node": 3.0}
"""Of the signal, in seconds after the handlers were installed."""
CONFIGURED = {"depth_node": "depth weights", "camera_node": "synthetic: street"}
"""A node logs this when it is configured."""
SOURCE = "synthetic:street?width=160&height=64&frames=20"


def trial(executable: str, kind: str, delay: float) -> tuple[float, bool, str]:
    """One start and end: seconds to the exit, whether it was configured before, what failed."""
    parameters = {"threads": 1} if executable == "depth_node" else {"source": "synthetic"}
    namespace = "signals" if executable == "depth_node" else "quiet"
    process = rp.start_node(executable, namespace, parameters)
    try:
        code, seconds = rp.end_with(process, kind, delay)
        clean = code == 0 and "Traceback" not in process.stderr
        failure = "" if clean else f"{kind} after {delay:.2f} s: {process.story()}"
        return seconds, CONFIGURED[executable] in process.stderr, failure
    except AssertionError as error:
        return float("nan"), False, str(error)
    finally:
        process.kill()


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    chance = random.Random(0)
    camera = rp.start_node("camera_node", "signals", {"source": SOURCE, "loop": True})
    listener = rp.foreign("listener.py", "signals")
    failures: list[str] = []
    rows = []
    try:
        for executable, latest in LATEST_S.items():
            for kind in rp.SIGNALS:
                delays = [chance.uniform(0, latest) for _ in range(options.times)]
                with ThreadPoolExecutor(options.at_once) as pool:
                    count = len(delays)
                    results = list(pool.map(trial, [executable] * count, [kind] * count, delays))
                seconds, configured, stories = zip(*results, strict=True)
                failures += filter(None, stories)
                rows.append(
                    {
                        "node": executable,
                        "signal": kind,
                        "trials": count,
                        "clean": sum(not story for story in stories),
                        "configured before": sum(configured),
                        "exit p50, s": statistics.median(seconds),
                        "exit max, s": max(seconds),
                    }
                )
    finally:
        for process in (camera, listener):
            process.interrupt()
            process.kill()
    report(options, rows)
    print("\n".join(failures), file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
