# SPDX-License-Identifier: Apache-2.0
"""Lifecycle of the depth node: failures, memory, and repeated transitions."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_peer
import ros_processes as rp
from robot import DEPTH, HEIGHT, NODE, PARAMETERS, WIDTH, Robot, street
from sensor_msgs.msg import Image

from depth_recog.networks.weights import DEFAULT, SHIPPED

pytestmark = pytest.mark.ros


def resident_mb(process: rp.Process) -> float:
    pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def threads(process: rp.Process) -> int:
    return len(list(Path(f"/proc/{process.popen.pid}/task").iterdir()))


def weights_mb() -> float:
    """Size of the networks in memory (float32); the files hold float16."""
    files = [SHIPPED / f"{DEFAULT[kind]}.safetensors" for kind in ("depth", "masks")]
    return sum(2 * file.stat().st_size for file in files) / 1e6


def test_cleanup_gives_the_memory_back(start: Any) -> None:
    process, peer = start("memory", {"autostart": False})
    peer.advertise()
    peer.listen({DEPTH: Image})
    for _ in range(2):
        peer.change_states(NODE, "configure", "activate")
        peer.send_until_heard(street(0), [DEPTH])
        peer.change_states(NODE, "deactivate")
        loaded = resident_mb(process)
        peer.change_states(NODE, "cleanup")
        assert loaded - resident_mb(process) > weights_mb() > 15
    weights = peer.wait(lambda: peer.statuses.get("weights"), "a report of the weights")
    assert "MB" in weights.values[0].key


def test_configure_fails_with_a_damaged_file_and_can_be_repeated(
    start: Any, tmp_path: Path
) -> None:
    process, peer = start("damaged", {"autostart": False})
    file = tmp_path / "mine.safetensors"
    shutil.copy(SHIPPED / f"{DEFAULT['depth']}.safetensors", file)
    good = file.read_bytes()
    assert peer.set_parameters(NODE, weights=str(file)) == (True, "")
    peer.change_states(NODE, "configure", "cleanup")
    for bad, words in ((good[: len(good) // 2], "not a readable"), (b"", "not a readable")):
        file.write_bytes(bad)
        assert not peer.change_state(NODE, "configure")
        assert peer.state(NODE) == "unconfigured"
        process.wait_for_line(f"mine.safetensors: {words}")
    file.write_bytes(good)
    peer.change_states(NODE, "configure", "activate")
    peer.begin()


GREEDY = """
from depth_recog.nodes.runtime import assembler
assemble, left = assembler.assemble, [1, 2]
def greedy(*arguments, **more):
    if left:
        left.pop()
        raise RuntimeError("out of memory")
    return assemble(*arguments, **more)
assembler.assemble = greedy
"""


def test_an_exception_in_a_transition() -> None:
    """An unexpected exception (out of memory) leads to rclpy's error processing."""
    command = rp.node_command(NODE, "greedy", PARAMETERS | {"autostart": False})
    command[2] = GREEDY + command[2]
    process = rp.Process(command, True)
    peer = Robot("greedy", process)
    try:
        for attempt in (1, 2):
            assert not peer.change_state(NODE, "configure")
            process.wait_for_line(r"RuntimeError: .*memory", times=attempt)
            assert peer.state(NODE) == "unconfigured"
        peer.change_states(NODE, "configure", "activate")
        peer.begin()
        process.end()
    finally:
        peer.close()
        process.kill()


def test_a_failed_activation_leaves_nothing_open(start: Any) -> None:
    # The image subscription is created last.
    bad = "qos_overrides./halfway/image.subscription.reliability:=nonsense"
    process, peer = start("halfway", {"autostart": False}, ("-p", bad))
    peer.change_states(NODE, "configure")
    for _ in range(2):
        assert not peer.change_state(NODE, "activate")
        assert peer.state(NODE) == "inactive"
        process.wait_for_line("QoS of /halfway/image: .*nonsense")
    depth = "/halfway/depth/image_rect"
    peer.wait(lambda: not peer.node.count_publishers(depth), "the publishers to be gone")
    info = "/halfway/camera_info"
    peer.wait(lambda: not peer.node.count_subscribers(info), "the subscription to be gone")
    peer.change_states(NODE, "cleanup")
    process.assert_alive()


TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")
AFTER = {
    ("unconfigured", "configure"): "inactive",
    ("inactive", "activate"): "active",
    ("inactive", "cleanup"): "unconfigured",
    ("active", "deactivate"): "inactive",
}
TO_ACTIVE = {"unconfigured": TRANSITIONS[:2], "inactive": ("activate",), "active": ()}


def test_transitions_in_any_order_while_images_stream(start: Any) -> None:
    """Valid ones succeed, others fail; neither memory nor the number of threads grows."""
    process, peer = start("soak", {"autostart": False})
    camera = rp.foreign("camera.py", "soak", f"{WIDTH}x{HEIGHT}", "30", "reliable")
    try:
        camera.wait_for_line("ready")
        peer.listen({DEPTH: Image})
        chance = random.Random(0)
        state = "unconfigured"
        used = []
        for cycle in range(12):
            for label in chance.sample(TRANSITIONS, 4):
                expected = AFTER.get((state, label))
                assert peer.change_state(NODE, label) == (expected is not None), (state, label)
                state = expected or state
            # Then activate in the valid order, and expect depth.
            peer.change_states(NODE, *TO_ACTIVE[state])
            peer.heard[DEPTH].clear()
            peer.wait(lambda: peer.heard[DEPTH], f"depth in cycle {cycle}")
            peer.change_states(NODE, "deactivate", "cleanup")
            state = "unconfigured"
            used.append((resident_mb(process), threads(process)))
    finally:
        camera.interrupt()
    counts = peer.settled()
    assert counts["received"] == sum(counts[k] for k in ros_peer.OUTCOMES)
    assert counts["rejected"] == 0
    megabytes, counted = zip(*used, strict=True)
    # The first cycles fill caches. Later the memory varies by 10 MB with the allocator's arenas;
    # networks that are not freed would add 20 MB in each cycle.
    assert np.median(megabytes[-4:]) - np.median(megabytes[4:8]) < 20, megabytes
    assert max(counted[4:]) <= max(counted[:4]), counted
    process.end()
