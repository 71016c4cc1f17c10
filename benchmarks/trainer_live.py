# SPDX-License-Identifier: Apache-2.0
"""Does a trainer node improve the depth of the depth node beside it, and what does that cost?

python benchmarks/trainer_live.py SOURCE [--weights START] [--folder DIR] [--rate HZ] [--phase S]
    [--learn S] [--most S] [--set budget=0.3 ...] [--evaluate SOURCE[@A:B] ...] [--json FILE]

Three processes over DDS: a camera node plays SOURCE in a loop, a depth node publishes depth, a
trainer node learns. Rate and p99 latency of the depth images are measured first with the trainer
paused by its service, then while it learns, in turns, until weights were accepted and the depth
node uses them, or --most seconds have passed. Then `evaluate` is run with the start's weights and
with the active ones.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Row, parser_of, report, use_local_ros

use_local_ros()

import numpy as np
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticArray
from ros_peer import Peer
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from depth_recog.networks.family import read_family

NAMESPACE = "live"
DEPTH = "depth/image_rect"


class Watch(Peer):
    """Receives depth images and the diagnostics of both nodes."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE)
        self.rows: dict[str, str] = {}
        self.state = ""
        self.latencies: list[float] = []
        self.node.create_subscription(Image, DEPTH, self._on_depth, 10)

    def _on_depth(self, message: Image) -> None:
        stamp = message.header.stamp
        self.latencies.append(time.time() - stamp.sec - stamp.nanosec / 1e9)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.rows |= {f"{status.name.split('/')[-1]}: {v.key}": v.value for v in status.values}
            if status.name.endswith("trainer_node: learning"):
                self.state = status.message

    def number(self, key: str) -> float:
        return float(self.rows.get(key, "nan"))

    def measured(self, seconds: float, name: str) -> Row:
        """Rate and latency of the depth images of the next seconds."""
        self.latencies.clear()
        key = "trainer_node: learning: steps"
        steps, end = self.number(key), time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.1)
        p50, p99 = np.percentile(self.latencies or [float("nan")], (50, 99)) * 1e3
        rate = len(self.latencies) / seconds
        row = {"phase": name, "rate (Hz)": round(rate, 2), "p50 (ms)": round(float(p50), 1)}
        used = self.rows.get("trainer_node: learning: share used", "")
        row |= {
            "p99 (ms)": round(float(p99), 1),
            "steps": self.number(key) - steps,
            "share used": used,
        }
        accepted = self.rows.get("trainer_node: judge: accepted", "")
        print(row, "accepted", accepted, "|", self.state, flush=True)
        return row

    def trigger(self, name: str) -> None:
        self.call(f"trainer_node/{name}", Trigger, Trigger.Request())


def play(options: Any, folder: Path) -> list[Row]:
    """Run the three nodes; returns the rows of all phases."""
    trainer = {"folder": str(folder), "device": "cpu", "weights": options.weights}
    trainer |= {k: json.loads(v) for k, _, v in (text.partition("=") for text in options.set)}
    depth = {"device": "cpu", "threads": 1, "weights": options.weights}
    camera = {"source": options.source, "rate": options.rate, "loop": True}
    processes = [
        rp.start_node("depth_node", NAMESPACE, depth),
        rp.start_node("trainer_node", NAMESPACE, trainer),
        rp.start_node("camera_node", NAMESPACE, camera),
    ]
    watch = Watch()
    rows: list[Row] = []
    try:
        watch.wait(lambda: watch.latencies and watch.state, "depth and the trainer's reports", 300)
        began = time.monotonic()
        while time.monotonic() - began < options.most:
            watch.trigger("pause")
            rows.append(watch.measured(options.phase, "paused"))
            watch.trigger("resume")
            rows.append(watch.measured(options.learn, "learns"))
            family = read_family(folder)
            confirmed = watch.rows.get("trainer_node: weights: confirmed sha256")
            if family.active_entry.number and confirmed == family.active and not options.full:
                break
        print(json.dumps(watch.rows, indent=1), flush=True)
    finally:
        for process in reversed(processes):
            process.interrupt(60)
            print(process.stderr[-3000:], flush=True)
        watch.close()
    return rows


def figures(source: str, weights: str) -> Row:
    """abs_rel of a recording, as `depth-recog evaluate` computes it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        name, _, span = source.partition("@")
        arguments = ["evaluate", name, "--weights", weights, "--device", "cpu", "--json", str(file)]
        process = rp.start_command(*arguments, *(["--frames", span] if span else []))
        assert process.wait(3600) == 0, process.story()
        found = json.loads(file.read_text())["depth"]
    return {
        "abs_rel (median scaled)": found["median_scaled"]["abs_rel"],
        "abs_rel (metres)": found["unscaled"]["abs_rel"],
    }


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("source")
    parser.add_argument("--weights", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--phase", type=float, default=30.0, help="seconds of a pause")
    parser.add_argument("--learn", type=float, default=60.0, help="seconds between two pauses")
    parser.add_argument("--most", type=float, default=1800.0)
    parser.add_argument("--full", action="store_true", help="go on after the first swap")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--evaluate", nargs="*", default=[])
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="trainer_live_")) / "family"
    rows = play(options, folder)
    family = read_family(folder)
    tables: dict[str, list[Row]] = {"phases": rows, "lineage": [], "before and after": []}
    for entry in family.entries:
        tables["lineage"].append(
            {
                "name": entry.name,
                "step": entry.step,
                "why": entry.why,
                "rolled back": entry.rolled_back,
            }
        )
    for source in options.evaluate:
        for name in dict.fromkeys((family.start.name, family.active_entry.name)):
            row = figures(source, str(folder / f"{name}.safetensors"))
            tables["before and after"].append({"source": source, "weights": name, **row})
    report(options, tables)


if __name__ == "__main__":
    main()
