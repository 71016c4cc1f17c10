# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate` on recordings without truth, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import command, fails
from constructed import write_recording

SIZE = 416, 128


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames of the street with poses but without depth."""
    folder = write_recording(tmp_path_factory.mktemp("data") / "street", 7, *SIZE)
    for file in folder.glob("*.depth.png"):
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def done(street: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """Table and figures with --without-truth, as the recording has true poses."""
    file = tmp_path_factory.mktemp("out") / "f.json"
    result = command("evaluate", street, "--without-truth", "--json", file)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout, json.loads(file.read_text())


def test_every_measure_has_its_coverage(done: tuple[str, Any]) -> None:
    figures = done[1]["without_truth"]
    assert (figures["pairs"], figures["step"], figures["unit"]) == (6, 1, "metres")
    for name in ("triangulation", "flicker", "warp"):
        assert 0 < figures[name]["value"] < 0.5
        assert figures[name]["standard_error"] > 0
        assert 5 <= figures[name]["pairs"] <= figures[name]["asked"] <= 6
    assert figures["triangulation"]["value"] < figures["triangulation"]["row_fit"]
    assert figures["triangulation"]["row_fit"] < figures["triangulation"]["constant"]
    assert figures["triangulation"]["points"] > 60
    assert set(figures["triangulation"]["by_distance"]) == {"near", "middle", "far"}
    assert figures["warp"]["value"] < figures["warp"]["row_fit"] < figures["warp"]["unmoved"]
    # The shipped weights know many heights: on seven frames of this street they are 13 % too low.
    assert figures["road"]["height"] == pytest.approx(1.65, rel=0.2)
    assert figures["road"]["frames"] == figures["road"]["asked"] == 6
    scale = figures["triangulation"]["scale_to_recorded_poses"]
    assert scale["median"] == pytest.approx(1, abs=0.1)


def test_the_table_shows_the_same(done: tuple[str, Any]) -> None:
    shown, figures = done[0], done[1]["without_truth"]
    line = next(x for x in shown.splitlines() if x.startswith("against triangulated points"))
    for name in ("value", "row_fit", "constant"):
        assert f"{figures['triangulation'][name]:.3f}" in line
    assert f"6 of 6 pairs, {figures['triangulation']['points']} points each" in line
    assert "below that of a quadratic fit of the image row" in shown
    assert "height of the camera, metres" in shown
    assert "Recorded motion / motion in the depth's unit" in shown
    assert "7 of 7 frames answered" in shown


def test_truth_is_not_needed_and_changes_nothing(
    street: Path, done: tuple[str, Any], tmp_path: Path
) -> None:
    """Without poses it is the default, and all but the unit stays."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in street.iterdir():
        if ".pose" not in file.name:
            (bare / file.name).symlink_to(file)
    result = command("evaluate", bare, "--json", tmp_path / "f.json")
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "f.json").read_text())["without_truth"]
    with_poses = done[1]["without_truth"]
    del with_poses["triangulation"]["scale_to_recorded_poses"]
    assert figures == with_poses


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    room = write_recording(tmp_path / "room", 3)
    result = command("evaluate", room, "--without-truth", "--json", tmp_path / "f.json")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("not measurable here: ") == 4
    figures = json.loads((tmp_path / "f.json").read_text())["without_truth"]
    assert figures["road"]["why"] == "2 of 2 frames allow it, 5 needed"
    assert "value" not in figures["triangulation"]


@pytest.mark.parametrize("option", [["--html", "f.html"], ["--fit", "synthetic"]])
def test_options_that_need_truth(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    message = fails("evaluate", street, "--without-truth", *option)
    assert f"{option[0]} needs truth" in message
