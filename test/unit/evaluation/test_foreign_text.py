# SPDX-License-Identifier: Apache-2.0
"""Text from recordings, reports and lineages on the terminal, in logs and in HTML."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_recog.cli.main import _PlainHandler, main
from depth_recog.errors import SourceError
from depth_recog.evaluation import html
from depth_recog.evaluation.recorded_run import RecordedRun
from depth_recog.networks.family import Entry, Family

ESCAPE = "\x1b[2J\x07\u202e"


def recorded(folder: Path, **changes: object) -> Path:
    (folder / "depth").mkdir(parents=True)
    cv2.imwrite(str(folder / "depth" / "a.png"), np.ones((4, 4), np.uint16))
    weights = {"name": f"w{ESCAPE}", "path": "w", "sha256": ESCAPE}
    report = {"source": "synthetic", "weights": weights, "gate": ESCAPE, "pose": "\ud800"}
    (folder / "run.json").write_text(json.dumps(report | changes))
    return folder


def test_what_run_json_says_is_shown_without_control_characters(tmp_path: Path) -> None:
    about = RecordedRun(recorded(tmp_path / "run")).about
    assert all(text.isprintable() and text.encode() for text in about.values()), about
    assert about["weights"] == r"w\x1b[2J\x07\u202e"


@pytest.mark.parametrize(
    "changes",
    [
        {"source": 7},
        {"source": None},
        {"classes": ["a"] * 300},
        {"classes": "road"},
        {"classes": [ESCAPE], "dynamic_classes": []},
        {"classes": [["road"]]},
    ],
)
def test_a_report_that_cannot_be_used(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(SourceError, match="run again"):
        RecordedRun(recorded(tmp_path / "run", **changes))


@pytest.mark.parametrize("lens", [{"fov": "90"}, {"fov": 1e9}, {"focal": -1}, {"focal": True}])
def test_an_assumed_lens_that_is_none(tmp_path: Path, lens: dict[str, object]) -> None:
    run = RecordedRun(recorded(tmp_path / "run", assumed_camera=lens))
    with pytest.raises(SourceError, match="is no lens"):
        assert run.assumed


def test_names_in_a_page_are_escaped() -> None:
    jinja2 = pytest.importorskip("jinja2")
    figures = html._plain({"about": {f"<b>{ESCAPE}": ["\ud800", ESCAPE, 1.5]}})
    text = jinja2.Environment(autoescape=True).from_string("{{ f.about }}").render(f=figures)
    assert text.isprintable()
    assert "<b>" not in text
    assert text.encode()


def test_a_lineage_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = Entry("ab" * 32, "", 0, 0, ESCAPE, f"better{ESCAPE}", ESCAPE)
    (tmp_path / "lineage.json").write_text(Family((entry,), entry.sha256).to_json())
    assert main(["weights", "lineage", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "better" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_a_card_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    (tmp_path / "w.md").write_text(f"---\nlicence: x\n---\n# card{ESCAPE}\n")
    assert main(["weights", "show", str(tmp_path / "w.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "# card" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_warnings_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "topic %s", (f"a{ESCAPE}\nb",), None)
    _PlainHandler().emit(record)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == r"topic a\x1b[2J\x07\u202e\nb"
