# SPDX-License-Identifier: Apache-2.0
"""`depth-recog doctor` and `depth-recog demo`, with nodes as processes."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest
from commands import fails, process


@pytest.mark.ros
def test_doctor_finds_everything() -> None:
    result = process("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    states = {}
    for line in result.stdout.splitlines():
        state, subject = line[:8].strip(), line[9:32].strip()
        assert state in ("ok", "note"), line
        states[subject] = state
    needed = {"depth_recog", "Python", "numpy", "backend", "rclpy", "RMW", "DDS"}
    needed |= {"weights: depth", "weights: masks", "weights: pose", "image conversion"}
    assert {states[subject] for subject in needed} == {"ok"}
    assert "a message from another process arrived" in result.stdout


@pytest.mark.ros
def test_demo(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    result = process("demo", "synthetic", "--limit", "25", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    rows = dict(re.findall(r"^ *(\S.*?)  +(\S.*)$", result.stdout, re.MULTILINE))
    assert rows["source"] == "synthetic"
    number = {k: int(v) for k, v in rows.items() if v.isdigit()}
    assert number["images sent"] == 25
    # On a busy machine DDS may replace an image, or its camera_info, before the node takes it.
    received = number["received by the node"]
    outcomes = ("published", "dropped", "rejected", "unmatched", "idle")
    assert sum(number[k] for k in outcomes) == received <= 25
    assert number["unmatched"] <= 25 - received
    assert number["rejected"] == 0
    assert number["published"] >= 1
    assert number["depth images received"] == number["published"]
    assert number["complete sets, equal stamps"] == number["published"]
    assert number["outputs without an image"] == 0
    assert rows["camera_info fits the depth"] == "yes"
    # Not rows["gate"]: the duration of that stage has the same name.
    (gate,) = re.findall(r"^gate +(moving .*)$", result.stdout, re.MULTILINE)
    assert sum(int(n) for n in re.findall(r"\d+", gate)) <= number["published"]
    picture = cv2.imread(str(tmp_path / "demo.png"))
    assert picture is not None
    assert picture.shape[1] == 3 * 416
    film = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    frames = list(iter(lambda: film.read()[0], False))
    assert len(frames) == number["complete sets, equal stamps"]
    assert str(tmp_path / "demo.png") in result.stdout


@pytest.mark.ros
def test_demo_fails_with_one_line() -> None:
    assert "/nowhere does not exist" in fails("demo", "/nowhere")
    assert "cannot be written" in fails("demo", "synthetic", "--out", f"{__file__}/a")
