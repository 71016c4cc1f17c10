# SPDX-License-Identifier: Apache-2.0
"""Weights of several robots, merged."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("pydantic")

import torch
from fake_adapter import FakeAdapter
from torch import nn

from depth_recog.adaptation.lineage import Lineage
from depth_recog.adaptation.merge import mean_network
from depth_recog.cli.main import main
from depth_recog.networks.family import read_family
from depth_recog.networks.own.files import load_network

STREET = "synthetic:street?width=64&height=32&frames=3"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[FakeAdapter]:
    """A judge that follows a script; it is the only part that takes long."""
    made: list[FakeAdapter] = []

    def adapter(*arguments: object) -> FakeAdapter:
        made.append(FakeAdapter(str(arguments[0])))
        return made[-1]

    monkeypatch.setattr("depth_recog.adaptation.adapter.Adapter", adapter)
    return made


def robot(folder: Path, offset: float, start: str = "") -> Path:
    """Make the lineage of a robot, whose weights are all shifted by an offset; 0: it has none."""
    lineage = Lineage(folder, start)
    if offset:
        network = load_network(str(lineage.path_of(lineage.start)), "depth")[0]
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += offset
        lineage.accept(network, lineage.start, "better", 100 + round(100 * offset), {})
    lineage.close()
    return folder


def test_the_mean_of_the_weights_is_judged_and_kept(
    tmp_path: Path, quick: list[FakeAdapter], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [robot(tmp_path / str(i), offset) for i, offset in enumerate((0.25, 0.75, 0.0))]
    out = tmp_path / "road"
    command = ["weights", "merge", *map(str, folders), "--on", STREET, "--on", STREET]
    assert main([*command, "--out", str(out)]) == 0
    assert "half as far off" in capsys.readouterr().out
    family = read_family(out)
    entry = family.active_entry
    assert (entry.number, entry.step) == (1, 175)
    assert entry.parent == family.start.sha256 == read_family(folders[0]).start.sha256
    merged, start = (load_network(str(name), "depth")[0] for name in (out, folders[2]))
    assert len(quick[0].seen) == 6
    assert quick[0].calls == ["end of the stream"] * 2
    for new, old in zip(merged.parameters(), start.parameters(), strict=True):
        # A robot that has learnt nothing does not count.
        assert torch.allclose(new, old + 0.5, atol=0.02)
    assert main([*command, "--out", str(out)]) == 1
    assert "holds a lineage already" in capsys.readouterr().err


def test_a_mean_that_the_judge_refuses_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeAdapter, "judge_network", _refuses)
    folders = [str(robot(tmp_path / str(i), offset)) for i, offset in enumerate((0.25, 0.75))]
    out = tmp_path / "road"
    assert main(["weights", "merge", *folders, "--on", STREET, "--out", str(out)]) == 1
    assert "the start stays active" in capsys.readouterr().out
    assert read_family(out).active_entry.number == 0


def _refuses(adapter: FakeAdapter, network: nn.Module) -> object:
    adapter.accepts = False
    return adapter._judgement()


def test_what_cannot_be_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, none = robot(tmp_path / "one", 0.5), robot(tmp_path / "none", 0.0)
    end = ["--on", STREET, "--out", str(tmp_path / "road")]
    assert main(["weights", "merge", str(one), str(none), *end]) == 1
    assert "nothing to merge" in capsys.readouterr().err
    other = robot(tmp_path / "other", 0.1, str(one))
    assert main(["weights", "merge", str(one), str(other), *end]) == 1
    assert "only lineages with the same start" in capsys.readouterr().err
    assert main(["weights", "merge", str(one), str(tmp_path), *end]) == 1
    assert "no lineage of weights" in capsys.readouterr().err
    assert not (tmp_path / "road").exists()


def test_the_mean_of_one_file_is_its_network() -> None:
    network = load_network("", "depth")[0]
    for key, value in mean_network([Path("depth-street")] * 2).state_dict().items():
        assert torch.equal(value, network.state_dict()[key])
