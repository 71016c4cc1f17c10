# SPDX-License-Identifier: Apache-2.0
"""`depth-recog adapt`: a recording in, judged weights out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import command, fails, misused

from depth_recog.networks.weights import header_of
from depth_recog.training.judge import anchors

STREET = "synthetic:oncoming?seed=3&frames=13"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("adapt") / "lineage"
    with pytest.MonkeyPatch.context() as patch:
        for scenes in ("LEARNT", "JUDGED"):
            patch.setattr(anchors, scenes, ("street",))
        result = command("adapt", STREET, "--out", folder, "--steps", "1")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_the_report_says_what_was_learnt_and_why_it_was_refused(
    adapted: tuple[Path, str],
) -> None:
    folder, printed = adapted
    report = json.loads((folder / "adapt.json").read_text())
    assert report["steps"] == 1
    assert report["frames"]["kept"] == 13
    assert report["frames"]["blocks to learn"] == 1
    # Thirteen frames are one block, to learn from.
    (verdict,) = report["verdicts"]
    assert not verdict["accepted"]
    assert "no frames are held back" in verdict["reason"]
    assert verdict["reason"] in printed
    assert "stays active" in printed
    # Each block was judged before it was learnt from: by the start, which is still active.
    for block in report["blocks"]:
        assert block["active"] == pytest.approx(block["start"], abs=1e-3)


def test_the_folder_stands_for_its_active_weights(adapted: tuple[Path, str]) -> None:
    folder, _ = adapted
    assert header_of(str(folder), "depth").sha256 == header_of("depth-street", "depth").sha256


def test_a_lineage_goes_on(adapted: tuple[Path, str]) -> None:
    folder, _ = adapted
    result = command("adapt", "synthetic:street?frames=2", "--out", folder)
    assert result.returncode == 0
    assert json.loads((folder / "adapt.json").read_text())["steps"] == 0


def test_mistakes_are_named(tmp_path: Path) -> None:
    assert "--out" in misused("adapt", STREET)
    assert "does not exist" in fails("adapt", tmp_path / "nothing", "--out", tmp_path / "out")
    assert "no such weights" in fails(
        "adapt", STREET, "--out", tmp_path / "out", "--weights", "unknown"
    )
    assert "frames 0 to 12 only" in fails("adapt", f"{STREET}@40:50", "--out", tmp_path / "out")
