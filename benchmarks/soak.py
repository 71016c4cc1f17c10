# SPDX-License-Identifier: Apache-2.0
"""Does the depth node stay as fast and as small as at its start, over an hour of changes?

python benchmarks/soak.py [--minutes 60] [--windows 6] [--rate 30] [--size 640x480] [--json FILE]

A camera offers images at --rate. Meanwhile listeners of changing topics come and go (a thousand an
hour), live parameters are set every ten seconds, and the weights are swapped every minute. A row
for each window; the first one is the warm-up.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Row, parser_of, report, use_local_ros

use_local_ros()

import ros_processes as rp
from live import Recorder, Windows
from robot import TOPICS, other_weights

NAMESPACE = "soak"
LISTENER_S, PARAMETERS_S, WEIGHTS_S = 3.6, 10.0, 60.0
LIVE: dict[str, tuple[Any, ...]] = {
    "max_depth": (60.0, 80.0),
    "gate": ("object", "image", "off"),
    "gate_threshold": (2.0, 3.0),
    "output_size": ("network", "input"),
    "depth_encoding": ("16UC1", "32FC1"),
}


class Changes:
    """Makes the changes that are due."""

    def __init__(self, robot: Recorder, weights: list[str], seed: int = 0) -> None:
        self._robot, self._weights = robot, weights
        self._dice = random.Random(seed)
        self._due = dict.fromkeys((LISTENER_S, PARAMETERS_S, WEIGHTS_S), time.monotonic())
        self._listener: Any = None
        self.counts = {"listeners": 0, "parameters": 0, "weights": 0, "refused": 0}

    def __call__(self) -> None:
        for period, make in (
            (LISTENER_S, self._listen),
            (PARAMETERS_S, self._set_parameter),
            (WEIGHTS_S, self._swap),
        ):
            if time.monotonic() >= self._due[period]:
                self._due[period] += period
                make()

    def _listen(self) -> None:
        """Another topic than before gets a listener."""
        if self._listener is not None:
            self._robot.node.destroy_subscription(self._listener)
        topic, kind = self._dice.choice(list(TOPICS.items()))
        self._listener = self._robot.node.create_subscription(kind, topic, lambda message: None, 5)
        self.counts["listeners"] += 1

    def _set_parameter(self) -> None:
        name = self._dice.choice(list(LIVE))
        self._set("parameters", **{name: self._dice.choice(LIVE[name])})

    def _swap(self) -> None:
        self._weights.reverse()
        self._set("weights", weights=self._weights[0])

    def _set(self, what: str, **values: Any) -> None:
        accepted, _ = self._robot.set_parameters("depth_node", **values)
        self.counts[what] += 1
        self.counts["refused"] += not accepted


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--size", default="640x480")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the nodes must end too
    folder = Path(tempfile.mkdtemp(prefix="soak_"))
    process = rp.start_node("depth_node", NAMESPACE, {"device": "cpu"})
    robot = Recorder(NAMESPACE)
    robot.process = process
    camera = rp.foreign("camera.py", NAMESPACE, options.size, f"{options.rate:g}", "reliable")
    changes = Changes(robot, [str(other_weights(folder / "other.safetensors")), ""])
    try:
        robot.until_depth(120)
        windows = Windows(robot, process.popen.pid)
        for _ in range(options.windows):
            end = time.monotonic() + 60 * options.minutes / options.windows
            while time.monotonic() < end:
                changes()
                robot.spin(0.5)
                windows.sample()
            windows.end()
        camera.kill()
        robot.settled()
        process.end()
    finally:
        camera.kill()
        robot.close()
        process.kill()
    report(options, {"windows": windows.rows, "summary": [summary(windows.rows, changes.counts)]})


def summary(rows: list[dict[str, Any]], changes: dict[str, int]) -> Row:
    """Growth and slowing after the warm-up."""
    first, last = rows[min(1, len(rows) - 1)], rows[-1]
    resident = "resident, median (MB)"
    return {
        **changes,
        "received": sum(row["received"] for row in rows),
        "published": sum(row["published"] for row in rows),
        "growth after the warm-up (MB)": round(last[resident] - first[resident], 1),
        "p99, last / first window": round(last["p99 (ms)"] / rows[0]["p99 (ms)"], 2),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
