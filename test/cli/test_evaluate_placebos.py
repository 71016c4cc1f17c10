# SPDX-License-Identifier: Apache-2.0
"""`depth-recog calibrate`, as a user types it; and what the depth node makes of its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import command, fails, process

STREET = "synthetic:parked?seed=31&frames=120"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """Table, figures and parameters file of one calibration, in a process of its own."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["--yaml", out / "gate.yaml", "--json", out / "gate.json", "--quantile", "0.9"]
    result = process("calibrate", STREET, "--frames", "0:110", *arguments, limit=300)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout, json.loads((out / "gate.json").read_text()), out / "gate.yaml"


def test_what_is_found(done: tuple[str, Any, Path]) -> None:
    """Nothing moves in this scene: of what stands, no more than asked for may be called moving."""
    table, figures, _ = done
    assert figures["frames"] == 110
    assert figures["placebos"] >= 20
    assert figures["samples"] >= 150
    assert figures["threshold"] >= 1
    assert figures["image_found"]["value"] <= 0.1 + 1e-9
    for rate in ("object_now", "object_found", "image_now", "image_found"):
        assert 0 <= figures[rate]["low"] <= figures[rate]["value"] <= figures[rate]["high"] <= 1
    # The sizes of things at 4 to 40 m, and the gate's own scores: not a test of the numbers.
    assert figures["object_found"]["value"] <= 0.2
    assert figures["scores"]["0.5"] < 0 < figures["threshold"]
    assert figures["about"]["quantile"] == 0.9
    assert f"{figures['threshold']:g}" in table
    assert f"{figures['samples']} samples of {figures['placebos']} placebos" in table


def test_the_parameters_file(done: tuple[str, Any, Path]) -> None:
    _, figures, path = done
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    assert values == {
        "gate_threshold": figures["threshold"],
        "gate_rotation": figures["literal"]["rotation"],
        "gate_translation": figures["literal"]["translation"],
    }


@pytest.mark.ros
def test_the_depth_node_takes_the_file(done: tuple[str, Any, Path]) -> None:
    pytest.importorskip("rclpy")
    import ros_processes as rp
    from rcl_interfaces.srv import GetParameters

    wanted = yaml.safe_load(done[2].read_text())["/**"]["ros__parameters"]
    arguments = ("--params-file", str(done[2]))
    process = rp.start_node("depth_node", "calibrated", {"autostart": False}, arguments)
    peer = rp.Peer("calibrated", process)
    try:
        assert peer.state("depth_node") == "unconfigured"
        request = GetParameters.Request(names=list(wanted))
        answer = peer.call("depth_node/get_parameters", GetParameters, request)
        assert [value.double_value for value in answer.values] == list(wanted.values())
        assert process.interrupt() == 0, process.story()
    finally:
        peer.close()
        process.kill()


def test_it_is_the_seed_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command finds the same; another seed has other placebos."""
    from depth_recog.calibration import gate_calibration

    for name in ("LEAST_PLACEBOS", "LEAST_SAMPLES", "LEAST_PAIRS"):
        monkeypatch.setattr(gate_calibration, name, 3)
    tables = []
    for seed in ("0", "0", "1"):
        result = command("calibrate", STREET, "--frames", "0:24", "--seed", seed)
        assert result.returncode == 0, result.stderr
        tables.append(result.stdout)
    assert tables[0] == tables[1] != tables[2]


def test_what_it_refuses(tmp_path: Path) -> None:
    assert "7 frames" in fails("calibrate", "synthetic:parked?frames=7")
    camera_at_rest = fails("calibrate", "synthetic:still?frames=12")
    assert "the camera stands in" in camera_at_rest
    assert "--frames" in camera_at_rest
    path = tmp_path / "no" / "gate.yaml"
    assert f"{path}: no file can be written there" in fails(
        "calibrate", "synthetic:parked", "--yaml", path
    )
    assert "nosuch" in fails("calibrate", "/nosuch")
    assert "within 0:9" in fails("calibrate", "synthetic:street?frames=9", "--frames", "4:20")


@pytest.mark.parametrize(
    "arguments", [["--quantile", "1"], ["--quantile", "x"], ["--seed", "-1"], ["--gate", "image"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = command("calibrate", "synthetic", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert arguments[0] in result.stderr


def test_a_live_source(monkeypatch: pytest.MonkeyPatch) -> None:
    from depth_recog.cli import calibrate

    class Live:
        kind, name, rate_hz, live = "v4l2", "camera", 30.0, True

        def __iter__(self) -> Any:
            raise AssertionError("nothing must be read")

    monkeypatch.setattr(calibrate, "open_source", lambda text: Live())
    line = fails("calibrate", "/dev/video0")
    assert "/dev/video0: a live source cannot be read twice: record" in line
