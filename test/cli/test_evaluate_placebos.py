# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate --placebos`, as a user types it; and its file in the depth node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import command, fails, misused

STREET = "synthetic:parked?seed=31&frames={}&width=312&height=96"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """Return table, figures and parameters file of one report."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["--yaml", out / "gate.yaml", "--json", out / "gate.json", "--quantile", "0.9"]
    source = STREET.format(66)
    result = command("evaluate", source, "--placebos", "--frames", "0:60", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout, json.loads((out / "gate.json").read_text()), out / "gate.yaml"


def test_the_figures(done: tuple[str, Any, Path]) -> None:
    table, figures, _ = done
    assert figures["frames"] == 60
    assert figures["placebos"] >= 20
    assert figures["samples"] >= 150
    assert figures["literal_quantile_moving"]["value"] <= 0.1 + 1e-9
    for name in ("moving", "literal_moving", "literal_quantile_moving"):
        rate = figures[name]
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
    # Nothing moves in this scene.
    assert figures["moving"]["value"] <= 0.2
    assert figures["scores"]["0.5"] < 0 < figures["threshold"]
    assert figures["quantile"] == 0.9
    assert figures["about"]["frames"] == [0, 60]
    assert f"{figures['samples']} samples of {figures['placebos']} placebos" in table


def test_the_parameters_file(done: tuple[str, Any, Path]) -> None:
    _, figures, path = done
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    thresholds = figures["literal_quantile"]
    assert values == {
        "gate_rotation": thresholds["rotation"],
        "gate_translation": thresholds["translation"],
    }


@pytest.mark.ros
def test_the_depth_node_takes_the_file(done: tuple[str, Any, Path]) -> None:
    pytest.importorskip("rclpy")
    from rcl_interfaces.srv import GetParameters
    from robot import NODE, fleet

    wanted = yaml.safe_load(done[2].read_text())["/**"]["ros__parameters"]
    arguments = ("--params-file", str(done[2]))
    with fleet() as start:
        process, peer = start("placebos", {"autostart": False}, arguments)
        assert peer.state(NODE) == "unconfigured"
        request = GetParameters.Request(names=list(wanted))
        answer = peer.call(f"{NODE}/get_parameters", GetParameters, request)
        assert [value.double_value for value in answer.values] == list(wanted.values())
        process.end()


def test_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    from depth_recog.evaluation.placebos import report

    for name in ("LEAST_PLACEBOS", "LEAST_SAMPLES", "LEAST_PAIRS"):
        monkeypatch.setattr(report, name, 3)
    tables = []
    for seed in ("0", "0", "1"):
        result = command("evaluate", STREET.format(12), "--placebos", "--seed", seed)
        assert result.returncode == 0, result.stderr
        tables.append(result.stdout)
    assert tables[0] == tables[1] != tables[2]


def test_refusals(tmp_path: Path) -> None:
    def refused(source: str, *arguments: str | Path) -> str:
        return fails("evaluate", source, "--placebos", *arguments)

    assert "7 frames" in refused("synthetic:parked?frames=7")
    camera_at_rest = refused("synthetic:still?frames=12")
    assert "the camera stands in" in camera_at_rest
    assert "--frames" in camera_at_rest
    path = tmp_path / "no" / "gate.yaml"
    no_folder = refused("synthetic:parked", "--yaml", path)
    assert f"{path}: no file can be written there" in no_folder
    assert "leave --html and --gate out" in refused("synthetic:parked", "--gate", "image")
    assert "add --placebos" in fails("evaluate", "synthetic:parked", "--yaml", "gate.yaml")


@pytest.mark.parametrize("arguments", [["--quantile", "1"], ["--quantile", "x"], ["--seed", "-1"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert arguments[0] in misused("evaluate", "synthetic", "--placebos", *arguments)
