# SPDX-License-Identifier: Apache-2.0
"""What a depth node costs beside its networks: CPU when idle, memory by state, frames lost.

python benchmarks/node_costs.py [--seconds 20] [--frames 300] [--threads 1]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "test" / "support"))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))

import ros_processes as rp
from robot import DEPTH, Robot, fleet
from sensor_msgs.msg import CameraInfo, Image

NODE = "depth_node"


def cpu_seconds(process: rp.Process) -> float:
    """User and system time of all its threads."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: rp.Process) -> float:
    """Megabytes (10^6 bytes)."""
    pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def share_of_a_core(process: rp.Process, peer: Robot, seconds: float) -> float:
    """Percent, while the peer goes on spinning."""
    start, before = time.monotonic(), cpu_seconds(process)
    while time.monotonic() - start < seconds:
        peer.executor.spin_once(timeout_sec=0.1)
    return 100 * (cpu_seconds(process) - before) / (time.monotonic() - start)


def camera(namespace: str, size: str, hz: float, reliability: str, *limits: int) -> rp.Process:
    """A driver in another process, with the shipped Fast DDS profile."""
    command = [sys.executable, str(rp.FOREIGN / "camera.py"), namespace, size, str(hz), reliability]
    return rp.Process([*command, *map(str, limits)])


def idle(seconds: float, threads: int) -> None:
    """Nobody listens while a camera streams; then somebody does."""
    print("\n| images, 640x480 at 30 Hz | active, nobody listens | inactive |\n|---|---|---|")
    waited = []
    for reliability in ("reliable", "best_effort"):
        with fleet() as start:
            process, peer = start("idle", {"threads": threads})
            driver = camera("idle", "640x480", 30, reliability)
            try:
                driver.wait_for_line("ready")
                peer.wait(lambda p=peer: "input" in p.statuses, "diagnostics")
                peer.wait(
                    lambda p=peer: "nobody listens" in p.statuses["input"].message, "the rest"
                )
                active = share_of_a_core(process, peer, seconds)
                assert peer.change_state(NODE, "deactivate")
                inactive = share_of_a_core(process, peer, seconds)
                print(f"| {reliability} | {active:.2f} % of a core | {inactive:.2f} % |")
                assert peer.change_state(NODE, "activate")
                peer.status("input", b"\x00", "nobody listens")
                began = time.monotonic()
                peer.listen({DEPTH: Image})
                peer.wait(lambda p=peer: p.heard[DEPTH], "depth")
                waited.append(time.monotonic() - began)
            finally:
                driver.interrupt()
    times = ", ".join(f"{s:.2f}" for s in waited)
    print(f"\nFrom the subscription to the first depth image: {times} s")


def memory(threads: int) -> None:
    """The same cycle three times."""
    print("\n| resident memory (MB) | first | second | third |\n|---|---|---|---|")
    rows: dict[str, list[float]] = {}
    with fleet() as start:
        process, peer = start("memory", {"threads": threads, "autostart": False})
        driver = camera("memory", "640x480", 10, "reliable")
        try:
            peer.state(NODE)
            first = resident_mb(process)
            for _ in range(3):
                for label in ("configure", "activate"):
                    assert peer.change_state(NODE, label)
                    rows.setdefault(f"after {label}", []).append(resident_mb(process))
                peer.listen({DEPTH: Image})
                peer.wait(lambda: len(peer.heard[DEPTH]) >= 10, "ten depth images")
                rows.setdefault("at work", []).append(resident_mb(process))
                peer.stop_listening()
                peer.heard[DEPTH].clear()
                for label in ("deactivate", "cleanup"):
                    assert peer.change_state(NODE, label)
                    rows.setdefault(f"after {label}", []).append(resident_mb(process))
        finally:
            driver.interrupt()
    print(f"| before the first configure | {first:.0f} | | |")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{v:.0f}' for v in values)} |")


def one_in_one_out(frames: int, threads: int) -> None:
    """Stamps that came in, and stamps that went out."""
    with fleet() as start:
        _, peer = start("stream", {"threads": threads})
        peer.listen({DEPTH: Image, "image": Image, "camera_info": CameraInfo})
        driver = camera("stream", "640x480", 10, "reliable", frames, 2)
        try:
            peer.wait(lambda: "sent" in driver.stdout, "all images", 60 + frames / 5)
            counts = peer.settled()
            peer.drain(1.0)
        finally:
            driver.interrupt()
        depth = [rp.stamp_ns(m) for m in peer.heard[DEPTH]]
        images = {rp.stamp_ns(m) for m in peer.heard["image"]}
    print(f"\n{frames} images at 10 Hz: {counts}")
    print(
        f"depth images {len(depth)}, of other stamps {len(set(depth) - images)}, "
        f"twice {len(depth) - len(set(depth))}, in order: {depth == sorted(depth)}"
    )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    idle(options.seconds, options.threads)
    memory(options.threads)
    one_in_one_out(options.frames, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
