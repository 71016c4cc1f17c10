# SPDX-License-Identifier: Apache-2.0
"""What `depth-recog evaluate` refuses, with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import command, fails, misused
from constructed import write_recording


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("data") / "<b>room & <script>", frames=4)


def without(room: Path, *patterns: str) -> Path:
    """The recording without some of its files."""
    for pattern in patterns:
        for file in room.glob(pattern):
            file.unlink()
    return room


def test_a_run_on_a_source_without_truth(tmp_path: Path) -> None:
    room = without(write_recording(tmp_path / "room", 2), "*.pose.txt", "*.depth.png")
    out = tmp_path / "out"
    assert command("run", room, "--out", out, "--device", "cpu").returncode == 0
    message = fails("evaluate", out)
    assert "no truth to compare with (neither depth nor poses nor boxes)" in message
    assert "give the recording itself" in message
    assert "give --without-truth the recording" in fails("evaluate", out, "--without-truth")


def test_truth_that_cannot_be_compared(tmp_path: Path) -> None:
    """One pose gives no motion; a cap may leave no depth."""
    room = write_recording(tmp_path / "room", 2)
    assert "nothing could be compared" in fails(
        "evaluate", without(room, "*.depth.png"), "--frames", "0:1"
    )
    near = without(write_recording(tmp_path / "near", 2), "*.pose.txt")
    assert "nothing could be compared" in fails("evaluate", near, "--cap", "0.5")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--frames", "3:3", "A below B"),
        ("--frames", "x", "A below B"),
        ("--frames", "0:2 --split test", "not allowed with"),
        ("--split", "holdout", "invalid choice"),
        ("--cap", "nan", "a number above 0"),
        ("--cap", "-3", "a number above 0"),
        ("--cap", "0", "a number above 0"),
        ("--cap", "inf", "a number above 0"),
        ("--cap", "far", "a number above 0"),
        ("--camera-height", "-1.65", "a number above 0"),
        ("--camera-height", "nan", "a number above 0"),
        ("--crop", "eigen", "invalid choice"),
        ("--fit", "synthetic@7:3", "A below B"),
    ],
)
def test_wrong_usage(room: Path, option: str, value: str, words: str) -> None:
    assert words in misused("evaluate", room, option, *value.split())


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--frames", "4:5", "frames 4:5 do not exist, it has 4"),
        ("--frames", "4:", "frames 4: do not exist, it has 4"),
        ("--frames", "0:5", "frames 0:5 do not exist, it has 4: give frames within 0:4"),
        ("--split", "test", "none of its files is in split test"),
        ("--json", "/nowhere/at/all.json", "/nowhere/at/all.json"),
        ("--html", "/nowhere/at/all.html", "/nowhere/at/all.html"),
        ("--json", "/tmp", "/tmp"),
        ("--weights", "mine", "mine: no such weights file"),
        ("--fit", "/nowhere", "/nowhere does not exist"),
        ("--fit", "synthetic:street?frames=3@2:9", "frames 2:9 do not exist, it has 3"),
    ],
)
def test_bad_values(room: Path, option: str, value: str, words: str) -> None:
    assert words in fails("evaluate", room, option, value)


def test_a_fit_without_depth(room: Path, tmp_path: Path) -> None:
    other = without(write_recording(tmp_path / "room", 2), "*.depth.png")
    assert "no true depth in these frames" in fails("evaluate", room, "--fit", other)


@pytest.mark.parametrize("source", ["/nowhere", "", "v4l2:/dev/video97", "x" * 300, "a\0b"])
def test_bad_sources(source: str) -> None:
    assert fails("evaluate", source)


def test_a_live_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live camera has no length."""
    from depth_recog.datasets import sources

    class Camera:
        kind, name, rate_hz, live = "v4l2", "camera", 30.0, True

        def __iter__(self) -> Any:
            raise AssertionError("no frame must be read")

    monkeypatch.setitem(sources.ASSUMING, "v4l2", lambda *_: Camera())
    assert "a live source cannot be evaluated: record it" in fails("evaluate", "v4l2:/dev/video0")


def test_a_damaged_image_names_itself(tmp_path: Path) -> None:
    room = write_recording(tmp_path / "room", 3)
    file = room / "frame-000002.depth.png"
    file.write_bytes(file.read_bytes()[:200])
    assert str(file) in fails("evaluate", room)
