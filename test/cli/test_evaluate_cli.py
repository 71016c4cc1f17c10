# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate`, as a user types it: table, JSON and HTML."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import command, process
from constructed import at, write_recording
from gate_maps import judged, right, scene

from depth_recog.datasets.boxes import Box
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import DepthTally
from depth_recog.evaluation.evaluate import Evaluation
from depth_recog.evaluation.html import write_html
from depth_recog.evaluation.table import table


class Page(html.parser.HTMLParser):
    """References, tags and text of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.split(":")[-1] in ("src", "href", "data", "action", "srcset", "poster"):
                self.references.append(value or "")
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_data(self, data: str) -> None:
        self.text += data
        self.references += re.findall(r"url\(([^)]*)\)|@import", data)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("data") / "<b>room & <script>", frames=4)


@pytest.fixture(scope="module")
def done(room: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, str]:
    """Return table, figures and page of one evaluation, run as a process."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["evaluate", room, "--json", out / "f.json", "--html", out / "f.html"]
    result = process(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""

    def no_constant(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    figures = json.loads((out / "f.json").read_text(), parse_constant=no_constant)
    return result.stdout, figures, (out / "f.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "depth.median_scaled.abs_rel",
        "depth.unscaled.abs_rel",
        "depth.scale.median",
        "depth.scale.spread",
        "depth.by_range.0-10.unscaled.abs_rel",
        "depth.by_class.road.median_scaled.a1",
        "baselines.row_mean.median_scaled.abs_rel",
        "baselines.ground_plane.unscaled.rmse",
        "flicker.median",
        "pose.rotation_degrees.median",
        "pose.translation_percent.p90",
        "pose.trajectory.unscaled.translation_percent",
        "verdict.gain",
        "frames.asked",
    ],
)
def test_json_has(done: tuple[str, Any, str], path: str) -> None:
    value = done[1]
    for key in path.split("."):
        value = value[key]
    assert isinstance(value, (int, float))


def test_json_describes_the_evaluation(done: tuple[str, Any, str], room: Path) -> None:
    figures = done[1]
    assert figures["frames"]["asked"] == figures["frames"]["answered"] == 4
    assert (figures["frames"]["first"], figures["frames"]["last"]) == (0, 3)
    assert figures["frames"]["splits"]["trained_on"] == {"depth-street": 0, "masks-street": 0}
    about = figures["about"]
    assert about["source"] == str(room)
    assert (about["kind"], about["crop"], about["cap"]) == ("seven_scenes", "garg", 80)
    assert re.fullmatch("[0-9a-f]{64}", about["weights sha256"])


def test_the_table_shows_the_same_figures(done: tuple[str, Any, str]) -> None:
    shown, figures, _ = done
    (answer,) = (line for line in shown.splitlines() if line.startswith("answer"))
    unscaled = figures["depth"]["unscaled"]
    assert f"{unscaled['abs_rel']:.3f}" in answer
    assert f"{unscaled['a3']:.3f}" in answer
    assert "4 of 4 frames answered" in shown
    for name in ("constant", "ground_plane", "row_mean", "0-10", "flicker", "rotation degrees"):
        assert name in shown


def test_the_page_refers_to_no_other_file(done: tuple[str, Any, str]) -> None:
    page = Page(done[2])
    assert page.references
    for reference in page.references:
        assert reference.startswith(("#", "data:image/jpeg;base64,")), reference[:80]
    for tag in ("script", "link", "iframe", "object", "embed", "base", "b"):
        assert tag not in page.tags, tag
    assert page.tags.count("svg") == 3
    assert page.tags.count("img") == 2


def test_the_page_shows_a_hostile_name_as_text(done: tuple[str, Any, str], room: Path) -> None:
    page = Page(done[2])
    assert str(room) in page.text
    assert "<b>room" not in done[2]


def test_the_page_shows_the_figures(done: tuple[str, Any, str]) -> None:
    _, figures, text = done
    shown = Page(text).text
    for kind in ("unscaled", "median_scaled"):
        assert f"{figures['depth'][kind]['abs_rel']:.3f}" in shown
    assert f"{figures['pose']['rotation_degrees']['median']:.3f}" in shown
    assert "by_class" in figures["depth"]
    assert "class, labels: the method's own" in shown


def test_a_zero_is_shown_as_one(tmp_path: Path) -> None:
    """With the truth as predictions every error is 0, and is shown as 0, not as missing."""
    room = write_recording(tmp_path / "room", frames=3)
    out = tmp_path / "out"
    assert command("run", room, "--out", out, "--device", "cpu").returncode == 0
    for i in range(3):
        millimetres = cv2.imread(f"{room}/frame-{i:06d}.depth.png", cv2.IMREAD_UNCHANGED)
        # Both formats store whole metres exactly.
        metres = np.rint(millimetres / 1000)
        cv2.imwrite(f"{room}/frame-{i:06d}.depth.png", (metres * 1000).astype(np.uint16))
        cv2.imwrite(f"{out}/depth/frame-{i:06d}.png", (metres * 256).astype(np.uint16))
    report = tmp_path / "f.json", tmp_path / "f.html"
    evaluate(out, "--json", report[0], "--html", report[1])
    depth = json.loads(report[0].read_text())["depth"]
    for kind in ("unscaled", "median_scaled"):
        assert [depth[kind][m] for m in ("abs_rel", "rmse", "a1")] == [0, 0, 1]
    assert depth["scale"]["spread"] == 0
    assert "0.000" in Page(report[1].read_text()).text


def evaluate(*arguments: str | Path) -> None:
    result = command("evaluate", *arguments)
    assert result.returncode == 0, result.stderr


def without(room: Path, *patterns: str) -> Path:
    """The recording without some of its files."""
    for pattern in patterns:
        for file in room.glob(pattern):
            file.unlink()
    return room


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("*.pose.txt", {"depth", "flicker"}), ("*.depth.png", {"pose"})],
)
def test_with_depth_or_poses_alone(tmp_path: Path, pattern: str, kept: set[str]) -> None:
    room = without(write_recording(tmp_path / "room", frames=4), pattern)
    files = tmp_path / "f.json", tmp_path / "f.html"
    evaluate(room, "--json", files[0], "--html", files[1])
    figures = json.loads(files[0].read_text())
    assert kept <= figures.keys()
    assert ("depth" in figures) == ("depth" in kept)
    assert ("pose" in figures) == ("pose" in kept)
    page = Page(files[1].read_text(encoding="utf-8"))
    assert "Depth" in page.text or "depth" not in kept
    assert page.tags.count("html") == 1


def test_the_gates_figures_are_shown() -> None:
    """Table and page show them; track names are escaped, and a 0 is shown as 0."""
    splits: dict[str, Any] = {"train": 0, "validation": 0, "test": 0, "trained_on": {"w": None}}
    frames = {"answered": 8, "asked": 8, "first": 0, "last": 7, "splits": splits}

    def boxes(frame: int) -> list[Box]:
        return [at(box, track=f"<i>{box.track}</i>") for box in scene()]

    figures = {
        "about": {"source": "x"},
        "frames": frames,
        "gate": judged(right, boxes),
    }
    text = table(figures)
    assert re.search(r"auc +1.00 +1.00 to 1.00", text)
    assert re.search(r"false positive rate +0.00 +0.00 to 0.00", text)
    assert "2 moving tracks, 2 parked" in text
    page = Page(write_html(Evaluation(figures, DepthTally(Protocol()), None, None, None)))
    assert "<i>m0</i> (moving)" in page.text
    assert "i" not in page.tags
    assert re.search(r"false positive rate\s*0.000\s*0.000 to 0.000", page.text)
    assert "w: unknown whether it was trained on these frames" in page.text


def test_the_row_mean_is_fitted_on_the_given_frames(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.json"
    for part, about in (
        ([], "mean of each row, fitted on the judged frames themselves"),
        (["--fit", f"{room}@0:2"], f"mean of each row, fitted on frames 0 to 1 of {room}"),
        (["--fit", str(room)], f"mean of each row, fitted on {room}"),
    ):
        evaluate(room, "--frames", "2:4", "--json", out, *part)
        assert json.loads(out.read_text())["baselines"]["row_mean"]["about"] == about
