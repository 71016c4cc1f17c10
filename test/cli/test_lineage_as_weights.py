# SPDX-License-Identifier: Apache-2.0
"""Verbs that take weights take the folder that `depth-recog adapt` leaves: its active weights."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from commands import command, fails

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("pydantic")

from depth_recog.adaptation.lineage import Lineage
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import file_sha256

STREET = "synthetic:street?frames=4"


class Adapted(NamedTuple):
    folder: Path
    active: Path
    sha256: str


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """A lineage with the start and one accepted entry, closed as after `adapt`."""
    folder = tmp_path_factory.mktemp("adapted") / "lineage"
    with closing(Lineage(folder)) as lineage:
        network, _ = load_network(str(lineage.path_of(lineage.start)), "depth")
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.01)
        entry = lineage.accept(network, lineage.start, "better", 10, {})
        active = lineage.path_of(entry)
    (folder / "adapt.json").write_text("{}\n")
    assert file_sha256(active) == entry.sha256 != lineage.start.sha256
    return Adapted(folder, active, entry.sha256)


@pytest.fixture(scope="module")
def run_report(adapted: Adapted) -> dict[str, dict[str, str]]:
    out = adapted.folder.parent / "results"
    weights = ("--weights", adapted.folder, "--gate-weights", adapted.folder)
    result = command("run", STREET, *weights, "--limit", "2", "--out", out)
    assert result.returncode == 0, result.stderr
    assert len(list((out / "depth").glob("*.png"))) == 2
    report: dict[str, dict[str, str]] = json.loads((out / "run.json").read_text())
    return report


def test_run_names_the_active_weights(
    adapted: Adapted, run_report: dict[str, dict[str, str]]
) -> None:
    of_file = {"name": adapted.active.stem, "path": str(adapted.active), "sha256": adapted.sha256}
    assert run_report["weights"] == of_file
    assert run_report["gate_weights"] == of_file


def test_evaluate_names_the_active_weights(adapted: Adapted) -> None:
    file = adapted.folder.parent / "figures.json"
    words = ("--frames", "0:2", "--weights", adapted.folder, "--json", file)
    result = command("evaluate", STREET, *words)
    assert result.returncode == 0, result.stderr
    assert adapted.active.stem in result.stdout
    assert adapted.sha256 in file.read_text()


def test_export_takes_the_active_weights(adapted: Adapted) -> None:
    pytest.importorskip("onnxscript")
    graph = adapted.folder.parent / "adapted.onnx"
    result = command("export", adapted.folder, "--size", "96x64", "--out", graph)
    assert result.returncode == 0, result.stderr
    assert graph.is_file()
    assert f"depth network {adapted.active.stem}" in result.stdout
    assert "CC BY-NC-SA 3.0" in result.stdout, "the licence of the start"


@pytest.mark.parametrize("verb", ["run", "evaluate", "export"])
def test_lost_active_weights_are_named(adapted: Adapted, verb: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapted.folder, tmp_path / "lineage"))
    (folder / adapted.active.name).unlink()
    words: tuple[str | Path, ...] = (STREET, "--weights", folder, "--out", tmp_path / "out")
    if verb == "export":
        words = (folder, "--out", tmp_path / "a.onnx")
    said = fails(verb, *(words if verb != "evaluate" else words[:3]))
    assert f"{folder / adapted.active.name}: the active weights of the lineage are missing" in said
