# SPDX-License-Identifier: Apache-2.0
"""Signals at any moment: exit status 0, no traceback, complete files.

benchmarks/signals.py does the same twenty times each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_processes as rp

pytestmark = pytest.mark.ros

READY = {"depth_node": "depth weights", "camera_node": "synthetic: street"}
"""A line that each node logs once it is configured."""


@pytest.fixture(scope="module")
def work() -> Iterator[None]:
    """A camera and a subscriber, so that a depth node between them has work."""
    camera = rp.start_node(
        "camera_node",
        "signals",
        {"source": "synthetic:street?width=208&height=64&frames=20", "loop": True, "rate": 15.0},
        forked=True,
    )
    listener = rp.foreign("listener.py", "signals")
    try:
        listener.wait_for_line("ready")
        camera.wait_for_line("synthetic: street-0")
        yield
    finally:
        for process in (camera, listener):
            process.interrupt()
            process.kill()


@pytest.mark.parametrize("kind", rp.SIGNALS)
@pytest.mark.parametrize("executable", READY)
def test_a_signal_ends_a_node_in_order(work: None, executable: str, kind: str) -> None:
    """In the imports of a fresh interpreter, in configure, and at work."""
    parameters = {"threads": 1} if executable == "depth_node" else {"source": "synthetic"}
    namespace = "signals" if executable == "depth_node" else "quiet"
    processes = [
        rp.start_node(executable, namespace, parameters, forked=forked)
        for forked in (False, True, True)
    ]
    importing, configuring, working = processes
    try:
        with ThreadPoolExecutor(len(processes)) as pool:
            ends = [
                pool.submit(rp.end_with, importing, kind, 0.2),
                pool.submit(rp.end_with, configuring, kind, 0.4),
                pool.submit(rp.end_with, working, kind, 0.5, READY[executable]),
            ]
        for process, end in zip(processes, ends, strict=True):
            code, seconds = end.result()
            story = f"{kind}, ended in {seconds:.1f} s: {process.story()}"
            assert code == 0, story
            assert "Traceback" not in process.stderr, story
            # ros2 launch sends SIGTERM after 5 s.
            assert seconds < 5, story
    finally:
        for process in processes:
            process.kill()


def run_command(out: Path, forked: bool) -> rp.Process:
    source = "synthetic:street?frames=100000&width=208&height=64"
    return rp.start_command("run", source, "--out", str(out), forked=forked)


@pytest.mark.parametrize("kind", rp.SIGNALS)
def test_an_interrupted_run_leaves_complete_files(kind: str, tmp_path: Path) -> None:
    process = run_command(tmp_path, forked=True)
    try:
        depth = tmp_path / "depth"
        rp.wait_until(
            lambda: len(list(depth.glob("*.png"))) >= 3 or process.popen.poll() is not None,
            "three pictures",
        )
        code, _ = rp.end_with(process, kind, 0.1)
    finally:
        process.kill()
    assert code == 0, process.story()
    assert "Traceback" not in process.stderr, process.story()
    assert "interrupted after" in process.stderr
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["interrupted"] is True
    count = report["frames"]["out"]
    assert count >= 3
    names = [f"{i:010d}.png" for i in range(count)]
    for folder in ("depth", "mask", "moving"):
        paths = sorted((tmp_path / folder).iterdir())
        assert [p.name for p in paths] == names
        for path in paths:
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert pixels is not None
            assert pixels.shape == (64, 208)
    poses = np.loadtxt(tmp_path / "poses.txt")
    assert poses.shape == (count, 12)
    for line in (tmp_path / "pairs.jsonl").read_text().splitlines():
        assert json.loads(line)["second"] + ".png" in names


@pytest.mark.parametrize("kind", rp.SIGNALS)
def test_run_ended_before_it_began(kind: str, tmp_path: Path) -> None:
    """A signal during the imports leaves no files."""
    process = run_command(tmp_path / "out", forked=False)
    try:
        code, _ = rp.end_with(process, kind, 0)
    finally:
        process.kill()
    assert code == 0, process.story()
    assert process.stderr in ("", "interrupted before it began\n")  # "": before Python ran
    assert not (tmp_path / "out").exists()
