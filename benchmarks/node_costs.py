# SPDX-License-Identifier: Apache-2.0
"""What does a depth node cost beside its networks: CPU when idle, memory by state, lost frames?

python benchmarks/node_costs.py [--seconds 20] [--frames 300] [--threads 1] [--json FILE]

- idle: percent of a core while a camera streams 640x480 at 30 Hz and no one subscribes to a result,
  active and inactive; then the seconds from a subscription to the first depth image;
- memory: resident megabytes after each transition, three times in a row;
- stream: counts of the images that came in at 10 Hz and of the depth images that came out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Row, parser_of, report, resident_mb, use_local_ros

use_local_ros()

import ros_messages
import ros_processes as rp
from robot import DEPTH, Robot, fleet
from sensor_msgs.msg import CameraInfo, Image

NODE = "depth_node"


def cpu_seconds(process: rp.Process) -> float:
    """User and system time of all threads."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percent_of_a_core(process: rp.Process, peer: Robot, seconds: float) -> float:
    """CPU time of a process while its peer goes on spinning."""
    start, before = time.monotonic(), cpu_seconds(process)
    while time.monotonic() - start < seconds:
        peer.executor.spin_once(timeout_sec=0.1)
    return 100 * (cpu_seconds(process) - before) / (time.monotonic() - start)


def camera(namespace: str, hz: float, reliability: str, *limits: int) -> rp.Process:
    """A driver in another process that sends 640x480 images, with the shipped Fast DDS profile."""
    script = str(rp.FOREIGN / "camera.py")
    arguments = [namespace, "640x480", str(hz), reliability, *map(str, limits)]
    return rp.Process([sys.executable, script, *arguments])


def idle(seconds: float, threads: int) -> list[Row]:
    """The CPU time without subscribers, for both reliabilities of the camera."""
    rows: list[Row] = []
    for reliability in ("reliable", "best_effort"):
        with fleet(small=False) as start:
            process, peer = start("idle", {"device": "cpu", "threads": threads})
            driver = camera("idle", 30, reliability)
            try:
                driver.wait_for_line("ready")
                peer.wait(unsubscribed(peer), "an idle node")
                active = percent_of_a_core(process, peer, seconds)
                assert peer.change_state(NODE, "deactivate")
                inactive = percent_of_a_core(process, peer, seconds)
                assert peer.change_state(NODE, "activate")
                peer.statuses.clear()
                peer.wait(unsubscribed(peer), "an idle node")
                began = time.monotonic()
                peer.listen({DEPTH: Image})
                peer.wait(lambda p=peer: p.heard[DEPTH], "depth")
                first = time.monotonic() - began
            finally:
                driver.interrupt()
        row = {"images": reliability, "active, %": active, "inactive, %": inactive}
        rows.append({**row, "first depth, s": first})
    return rows


def unsubscribed(peer: Robot) -> Callable[[], Any]:
    """A condition: the node's diagnostics say that no one subscribes."""
    text = "no output has a subscriber"
    return lambda: "input" in peer.statuses and text in peer.statuses["input"].message


def memory(threads: int) -> list[Row]:
    """Resident memory after each transition; the same cycle three times."""
    found: dict[str, list[float]] = {}
    with fleet(small=False) as start:
        process, peer = start("memory", {"device": "cpu", "threads": threads, "autostart": False})
        driver = camera("memory", 10, "reliable")

        def note(state: str) -> None:
            found.setdefault(state, []).append(resident_mb(process.popen.pid))

        def change(label: str) -> None:
            assert peer.change_state(NODE, label)
            note(f"after {label}")

        try:
            peer.state(NODE)
            note("before configure")
            for _ in range(3):
                change("configure")
                change("activate")
                peer.listen({DEPTH: Image})
                peer.wait(lambda: len(peer.heard[DEPTH]) >= 10, "ten depth images")
                note("publishing")
                peer.stop_listening()
                peer.heard[DEPTH].clear()
                change("deactivate")
                change("cleanup")
        finally:
            driver.interrupt()
    names = ("first, MB", "second, MB", "third, MB")
    return [{"state": k, **dict(zip(names, v, strict=False))} for k, v in found.items()]


def stream(frames: int, threads: int) -> list[Row]:
    """Images in and depth images out, by stamp."""
    with fleet(small=False) as start:
        _, peer = start("stream", {"device": "cpu", "threads": threads})
        peer.listen({DEPTH: Image, "image": Image, "camera_info": CameraInfo})
        driver = camera("stream", 10, "reliable", frames, 2)
        try:
            peer.wait(lambda: "sent" in driver.stdout, "all images", 60 + frames / 5)
            counts = peer.settled()
            peer.drain(1.0)
        finally:
            driver.interrupt()
        depth = [ros_messages.stamp_ns(message) for message in peer.heard[DEPTH]]
        images = {ros_messages.stamp_ns(message) for message in peer.heard["image"]}
    return [
        {
            **counts,
            "depth images": len(depth),
            "with another stamp": len(set(depth) - images),
            "sent twice": len(depth) - len(set(depth)),
            "in order": depth == sorted(depth),
        }
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    tables = {
        "idle": idle(options.seconds, options.threads),
        "memory": memory(options.threads),
        "stream": stream(options.frames, options.threads),
    }
    report(options, tables)


if __name__ == "__main__":
    main()
