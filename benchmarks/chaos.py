# SPDX-License-Identifier: Apache-2.0
"""Do the nodes recover, with known weights, from kills, a full disk, clocks and lost devices?

python benchmarks/chaos.py [--kills 100] [--others 5] [--seed 0] [--json FILE]

Kills: camera, depth node or trainer node, or all of them, get SIGKILL at random moments and are
started again. The trainer node's adapter accepts a candidate every few steps. Recovered: the files
are whole, and there is depth of a new image by weights that the list of the trainer knows.
Others, each --others times: a full disk (a tmpfs, where mounting is permitted) while weights are
saved; /clock set back and below zero (use_sim_time); a device that vanishes (the network's call
raises) and comes back.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import ROOT, Row, parser_of, report, use_local_ros

use_local_ros()

sys.path.insert(0, str(ROOT / "test" / "ros"))
import numpy as np
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from live import Recorder
from rosgraph_msgs.msg import Clock
from test_trainer_node import World
from trainer_chaos import whole

from depth_recog.networks.family import read_family
from depth_recog.networks.weights import DEFAULT, SHIPPED, file_sha256

LIMIT_S = 120.0
SOURCE = "synthetic:street?width=416&height=128&frames=60"
CAMERA: dict[str, Any] = {"source": SOURCE, "loop": True, "rate": 5.0}
VANISHING = """
import os, sys
from depth_recog.networks.backends import graph_models
usual = graph_models.GraphDepth.__call__
def call(self, image, focal):
    if os.path.exists({flag!r}):
        raise RuntimeError("the device is lost (simulated)")
    return usual(self, image, focal)
graph_models.GraphDepth.__call__ = call
from depth_recog.nodes.process import depth_node
sys.exit(depth_node())
"""


class Robot(World, Recorder):  # type: ignore[misc]
    """Depth node, trainer node and camera node, which may be killed."""

    def __init__(self, folder: Path) -> None:
        self.latencies: list[tuple[float, float]] = []
        super().__init__("chaos", folder)
        self.withdraw()  # the camera node publishes
        self.listen_to_depth()
        self.camera = self.start_camera()

    def start_camera(self) -> rp.Process:
        return rp.start_node("camera_node", "chaos", CAMERA, forked=True)

    def kill(self, names: tuple[str, ...]) -> None:
        for name in names:
            getattr(self, name).kill()

    def start(self, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, getattr(self, f"start_{name}")())
        self.process = self.depth

    def known(self) -> bool:
        """Whether the depth node reports weights that the trainer's list knows."""
        entries = read_family(self.folder).entries
        return self.row_of("weights sha256", "depth_node") in {e.sha256 for e in entries} | {
            file_sha256(SHIPPED / f"{DEFAULT['depth']}.safetensors")
        }


KINDS = (("camera",), ("depth",), ("trainer",), ("camera", "depth", "trainer"))


def kills(robot: Robot, count: int, dice: random.Random) -> list[Row]:
    """Kill at random moments; one row for each kind."""
    seconds: dict[tuple[str, ...], list[float]] = {kind: [] for kind in KINDS}
    failed = dict.fromkeys(KINDS, 0)
    for number in range(count):
        robot.spin(dice.uniform(0.0, 3.0))
        kind = dice.choice(KINDS)
        robot.kill(kind)
        whole(robot.folder)
        robot.of_node.clear()
        start = time.monotonic()
        robot.start(kind)
        try:
            if "trainer" in kind:
                robot.trainer.wait_for_line("learns from depth-", limit=LIMIT_S)
            robot.until_depth(LIMIT_S)
            robot.wait(robot.known, "known weights", LIMIT_S)
            seconds[kind].append(time.monotonic() - start)
        except AssertionError as error:
            failed[kind] += 1
            print(error, flush=True)
        print(f"{number + 1} kills: {kind}, {time.monotonic() - start:.1f} s", flush=True)
    return [row_of(" + ".join(kind), seconds[kind], failed[kind]) for kind in KINDS]


def row_of(event: str, seconds: list[float], failed: int) -> Row:
    some = seconds or [float("nan")]
    return {
        "event": event,
        "times": len(seconds) + failed,
        "recovered": len(seconds),
        "median (s)": round(float(np.median(some)), 1),
        "longest (s)": round(max(some), 1),
    }


def repeated(event: str, times: int, once: Callable[[], float]) -> Row:
    """Do something several times; its seconds, and how often it failed."""
    seconds, failed = [], 0
    for _ in range(times):
        try:
            seconds.append(once())
        except AssertionError as error:
            failed += 1
            print(event, error, flush=True)
    print(event, seconds, flush=True)
    return row_of(event, seconds, failed)


def full_disk(robot: Robot) -> float:
    """Fill the disk until saving fails; seconds from the free disk to the next saved weights."""
    filler = robot.folder.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for block in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\0" * block)
            except OSError:
                continue

    def failing() -> bool:
        status = robot.statuses.get("trainer_node weights")
        return status is not None and status.level == DiagnosticStatus.ERROR

    robot.wait(failing, "an error of saving", LIMIT_S)
    whole(robot.folder)
    robot.until_depth(LIMIT_S)
    before = len(read_family(robot.folder).entries)
    start = time.monotonic()
    filler.unlink()

    def saved() -> bool:
        return not failing() and len(read_family(robot.folder).entries) >= before

    robot.wait(saved, "saved weights", LIMIT_S)
    whole(robot.folder)
    return time.monotonic() - start


def clock_set_back(robot: Robot) -> float:
    """Set the clock forth, back and below zero; seconds until there is depth after each."""
    publisher = robot.node.create_publisher(Clock, "/clock", 10)
    longest = 0.0
    try:
        assert robot.set_parameters("depth_node", use_sim_time=True) == (True, "")
        for second in (1000, 2000, 5, -5, 0, 2**31 - 1, 1000):
            message = Clock()
            message.clock.sec = second
            publisher.publish(message)
            longest = max(longest, robot.until_depth(LIMIT_S))
    finally:
        assert robot.set_parameters("depth_node", use_sim_time=False) == (True, "")
        robot.node.destroy_publisher(publisher)
    return longest


def vanishing_device(times: int) -> Row:
    """A depth node whose network's call raises for some seconds."""
    flag = Path(tempfile.mkdtemp(prefix="chaos_")) / "gone"
    command = rp.node_command("depth_node", "device", {"device": "cpu", "threads": 1})
    command[2] = VANISHING.format(flag=str(flag))
    process = rp.Process(command)
    camera = rp.start_node("camera_node", "device", CAMERA, forked=True)
    robot = Recorder("device")
    robot.process = process

    def once() -> float:
        flag.touch()
        robot.wait(
            lambda: (
                "device is lost" in robot.statuses["input"].message
                and robot.statuses["input"].level == DiagnosticStatus.ERROR
            ),
            "an error",
            LIMIT_S,
        )
        flag.unlink()
        return robot.until_depth(LIMIT_S)

    try:
        robot.until_depth(LIMIT_S)
        return repeated("device vanishes", times, once)
    finally:
        camera.kill()
        robot.close()
        process.kill()


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--others", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the nodes must end too
    disk = Path(tempfile.mkdtemp(prefix="chaos_disk_"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    rows: list[Row] = []
    try:
        if options.others:
            rows.append(vanishing_device(options.others))
        robot = Robot(disk / "family")
        try:
            robot.until_depth(LIMIT_S)
            rows.append(repeated("clock set back", options.others, lambda: clock_set_back(robot)))
            if mounted:
                rows.append(repeated("full disk", options.others, lambda: full_disk(robot)))
            rows += kills(robot, options.kills, random.Random(options.seed))
        finally:
            robot.kill(("camera", "depth", "trainer"))
            robot.close()
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False)
    report(options, [row | {"load": round(os.getloadavg()[0], 1)} for row in rows])


if __name__ == "__main__":
    main()
