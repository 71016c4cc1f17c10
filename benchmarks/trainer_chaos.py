# SPDX-License-Identifier: Apache-2.0
"""What is left of the learnt weights after kills, and does the memory of both nodes stay flat?

python benchmarks/trainer_chaos.py [--kills 100] [--minutes 60] [--rate 10] [--source SOURCE]
    [--json FILE]

- kills: depth node and trainer node, with an adapter that accepts a candidate every few steps, are
  killed with SIGKILL at random moments, one or both, and started again. After every kill the files
  must be whole: the active weights have the hash that the list names. Now and then both nodes must
  agree on the active weights again.
- memory: a camera node plays SOURCE in a loop, both nodes work as they are shipped; resident memory
  of both and size of the folder, from the third minute on.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from common import Row, parser_of, report, use_local_ros

use_local_ros()

sys.path.insert(0, str(Path(__file__).parents[1] / "test" / "ros"))
import ros_processes as rp
from ros_peer import Peer
from sensor_msgs.msg import Image
from test_trainer_node import World

from depth_recog.networks.family import read_family
from depth_recog.networks.weights import file_sha256, read_card

WARM_UP_S = 180.0


def whole(folder: Path) -> int:
    """Check the files as a killed process left them; returns the number of the active weights."""
    family = read_family(folder)
    path = folder / f"{family.active_entry.name}.safetensors"
    assert file_sha256(path) == family.active, f"{path} is damaged"
    assert read_card(path.with_suffix(".md"))["sha256"] == family.active
    assert not family.active_entry.rolled_back
    for entry in family.entries[1:]:
        assert family.find(entry.parent) is not None, f"{entry.name} has an unknown parent"
    return family.active_entry.number


def size_of(folder: Path) -> float:
    """MB on the disk."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def kills(count: int, seed: int = 0) -> list[Row]:
    """Kill the nodes so many times."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="trainer_chaos_")) / "family"
    world = World("chaos", folder)
    counts = {"depth node": 0, "trainer node": 0, "both": 0}
    largest, agreed, began = 0.0, 0, time.monotonic()
    try:
        for number in range(count):
            end = time.monotonic() + chance.uniform(0.0, 8.0)
            while time.monotonic() < end:
                world.image(world.next_image())
                world.executor.spin_once(timeout_sec=0.05)
            kind = chance.choice(list(counts))
            counts[kind] += 1
            if kind != "depth node":
                world.trainer.kill()
            if kind != "trainer node":
                world.depth.kill()
            active = whole(folder)
            largest = max(largest, size_of(folder))
            if kind != "trainer node":
                world.depth = world.start_depth()
            if kind != "depth node":
                world.trainer = world.process = world.start_trainer()
                if chance.random() < 0.7:  # else it may be killed again while it starts
                    line = world.trainer.wait_for_line("learns from depth-")
                    assert "lost" not in world.trainer.stderr, world.trainer.stderr
                    assert read_family(folder).active_entry.name in line
            if number % 20 == 19:
                world.trainer.wait_for_line("learns from depth-")
                world.pause()
                agreed += 1
                world.trigger("resume")
            print(f"{number + 1} kills, active {active}, {size_of(folder):.1f} MB", flush=True)
        final = whole(folder)
    finally:
        world.trainer.kill()
        world.depth.kill()
        world.close()
    return [
        {
            **counts,
            "accepted weights": final,
            "agreed again": agreed,
            "largest folder (MB)": round(largest, 1),
            "seconds": round(time.monotonic() - began),
        }
    ]


class Memory(Peer):
    """Reads the resident memory of both nodes from their diagnostics."""

    def resident(self) -> dict[str, float]:
        found = {}
        for part, status in self.statuses.items():
            for value in status.values:
                if value.key == "resident memory (MB)":
                    found["depth node" if part == "weights" else "trainer node"] = float(
                        value.value
                    )
        return found


def memory(minutes: float, rate: float, source: str) -> list[Row]:
    """Resident memory of both nodes over so many minutes."""
    folder = Path(tempfile.mkdtemp(prefix="trainer_chaos_")) / "family"
    trainer = {"folder": str(folder), "device": "cpu", "latency_tolerance": 100.0}
    processes = [
        rp.start_node("depth_node", "flat", {"device": "cpu", "threads": 1}),
        rp.start_node("trainer_node", "flat", trainer),
        rp.start_node("camera_node", "flat", {"source": source, "rate": rate, "loop": True}),
    ]
    peer = Memory("flat", processes[1])
    rows: list[Row] = []
    try:
        peer.listen({"depth/image_rect": Image})
        began = time.monotonic()
        peer.wait(lambda: len(peer.heard["depth/image_rect"]) > 3, "depth", 300)
        noted = began
        seen: dict[str, list[float]] = {}
        while time.monotonic() - began < 60 * minutes:
            peer.executor.spin_once(timeout_sec=0.1)
            peer.heard["depth/image_rect"].clear()
            for node, value in peer.resident().items():
                if time.monotonic() - began > WARM_UP_S:
                    seen.setdefault(node, []).append(value)
            if time.monotonic() - noted > 30:
                noted = time.monotonic()
                print(
                    f"{noted - began:.0f} s: {peer.resident()}, {size_of(folder):.1f} MB",
                    flush=True,
                )
        for node, values in seen.items():
            third = max(1, len(values) // 3)
            first, last = (sum(v) / len(v) for v in (values[:third], values[-third:]))
            rows.append(
                {
                    "node": node,
                    "minutes": minutes,
                    "least (MB)": min(values),
                    "most (MB)": max(values),
                    "growth, last third - first third (MB)": round(last - first, 1),
                    "folder (MB)": round(size_of(folder), 1),
                }
            )
    finally:
        for process in reversed(processes):
            process.interrupt(60)
        peer.close()
    return rows


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--source", default="synthetic:street?frames=300&rate=10")
    options = parser.parse_args()
    tables: dict[str, list[Row]] = {"kills": [], "memory": []}
    if options.kills:
        tables["kills"] = kills(options.kills)
    if options.minutes:
        tables["memory"] = memory(options.minutes, options.rate, options.source)
    report(options, tables)


if __name__ == "__main__":
    main()
