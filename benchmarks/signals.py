# SPDX-License-Identifier: Apache-2.0
"""How the nodes end: each signal many times at random moments, as a table.

python benchmarks/signals.py [--times 20] [--at-once 4]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "test" / "support"))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))

import ros_processes as rp

LATEST_S = {"depth_node": 8.0, "camera_node": 3.0}
"""Seconds after the handlers are there: imports, configure, and as long again of work."""
AT_WORK = {"depth_node": "depth weights", "camera_node": "synthetic: street"}
"""In the log once a node is configured."""


def trial(executable: str, kind: str, delay: float) -> tuple[bool, float, bool, str]:
    """One start and its end: was it right, how many seconds, had it begun, what was wrong."""
    parameters = {"threads": 1} if executable == "depth_node" else {"source": "synthetic"}
    namespace = "signals" if executable == "depth_node" else "quiet"
    process = rp.start_node(executable, namespace, parameters)
    try:
        code, seconds = rp.end_with(process, kind, delay)
        good = code == 0 and "Traceback" not in process.stderr
        begun = AT_WORK[executable] in process.stderr
        return (
            good,
            seconds,
            begun,
            "" if good else f"{kind} after {delay:.2f} s: {process.story()}",
        )
    except AssertionError as error:
        return False, float("nan"), False, str(error)
    finally:
        process.kill()


def main() -> int:
    """Print the table; 1 where an end was not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    chance = random.Random(0)
    source = "synthetic:street?width=160&height=64&frames=20"
    camera = rp.start_node("camera_node", "signals", {"source": source, "loop": True})
    listener = rp.foreign("listener.py", "signals")
    stories: list[str] = []
    print("| node | signal | right | of them at work | median s to the exit | longest |")
    print("|---|---|---|---|---|---|")
    start = time.monotonic()
    try:
        for executable, latest in LATEST_S.items():
            for kind in rp.SIGNALS:
                delays = [chance.uniform(0, latest) for _ in range(options.times)]
                with ThreadPoolExecutor(options.at_once) as pool:
                    count = len(delays)
                    results = list(pool.map(trial, [executable] * count, [kind] * count, delays))
                seconds = [s for _, s, _, _ in results]
                right = sum(good for good, _, _, _ in results)
                begun = sum(b for _, _, b, _ in results)
                print(
                    f"| {executable} | {kind} | {right} of {count} | {begun} "
                    f"| {statistics.median(seconds):.2f} | {max(seconds):.2f} |",
                    flush=True,
                )
                stories += [story for good, _, _, story in results if not good]
    finally:
        for process in (camera, listener):
            process.interrupt()
            process.kill()
    print(f"\n{time.monotonic() - start:.0f} s, {options.at_once} at once")
    print("\n".join(stories), file=sys.stderr)
    return int(bool(stories))


if __name__ == "__main__":
    sys.exit(main())
