# SPDX-License-Identifier: Apache-2.0
"""`depth-recog run` on damaged frames, unplugged cameras, wrong arguments and strange paths."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import bags
import pytest
from commands import command, fails, misused, process
from training_runs import image_folder

from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.sources import READERS, open_source
from depth_recog.errors import SourceError

FRAMES = 6
STREET = f"synthetic:street?frames={FRAMES}&width=320&height=96"


def test_run_leaves_a_damaged_frame_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip, out = image_folder(tmp_path / "clip", 3), tmp_path / "out"
    bad = tmp_path / "clip" / "1.png"
    bad.write_bytes(bad.read_bytes()[:100])
    result = command("run", clip, "--out", out)
    assert result.returncode == 0
    assert "clip/1.png" in caplog.text
    report = json.loads((out / "run.json").read_text())
    assert report["frames"] == {"in": 3, "out": 2, "dropped": 0, "rejected": 1}
    assert report["error"] is None
    assert len((out / "poses.txt").read_text().splitlines()) == 2
    assert [path.name for path in sorted((out / "depth").iterdir())] == ["0.png", "2.png"]


class Unplugged:
    """A camera that stops after two frames."""

    kind, name, rate_hz, live = "v4l2", "video0", 10.0, True

    def __iter__(self) -> Iterator[Frame]:
        yield from islice(open_source(STREET), 2)
        raise SourceError("video0 gives no images any more")


def test_run_keeps_the_frames_before_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depth_recog.cli.run.open_source", lambda *_: Unplugged())
    assert "no images any more" in fails("run", "/dev/video0", "--out", tmp_path)
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["frames"]["out"] == 2
    assert "no images any more" in report["error"]
    assert len((tmp_path / "poses.txt").read_text().splitlines()) == 2
    assert len(list((tmp_path / "depth").glob("*.png"))) == 2


BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing source": (["/nowhere", "--out", "OUT"], ["/nowhere does not exist", "kitti_raw:"]),
    "unknown kind": (["piano:/tmp", "--out", "OUT"], ["'piano'", "folder"]),
    "unknown scene": (["synthetic:moon", "--out", "OUT"], ["'moon'", "street"]),
    "no source": (["", "--out", "OUT"], ["empty", "path"]),
    "gpu": (["synthetic", "--out", "OUT", "--device", "cuda:7"], ["'cuda:7'", "--device cpu"]),
    "fruit": (["synthetic", "--out", "OUT", "--device", "banana"], ["'banana'", "auto, cpu, cuda"]),
    "weights": (["synthetic", "--out", "OUT", "--weights", "moon"], ["moon", "depth-street"]),
    "no weights": (
        ["synthetic", "--out", "OUT", "--weights", __file__],
        ["test_run_failures.py", "safetensors"],
    ),
    "kind of weights": (
        ["synthetic", "--out", "OUT", "--mask-weights", "depth-street"],
        ["depth network", "masks network is needed"],
    ),
    "out is a file": (
        ["synthetic", "--out", __file__],
        ["test_run_failures.py", "cannot be written"],
    ),
    "out below a file": (
        ["synthetic", "--out", f"{__file__}/a"],
        ["test_run_failures.py/a", "cannot be"],
    ),
    "out is /proc": (["synthetic", "--out", "/proc/depth"], ["/proc/depth", "cannot be written"]),
}


@pytest.mark.parametrize("case", BAD)
def test_run_fails_with_one_line(case: str, tmp_path: Path) -> None:
    arguments, words = BAD[case]
    line = fails("run", *(a.replace("OUT", str(tmp_path / "out")) for a in arguments))
    for word in words:
        assert word in line


NOT_UTF8 = os.fsdecode(b"\xff")


@pytest.mark.parametrize("kind", [*READERS, ""])
def test_a_path_that_is_not_utf8_is_named(kind: str, tmp_path: Path) -> None:
    """OpenCV would crash on such a path, and SQLite raise."""
    folder = tmp_path / NOT_UTF8
    folder.mkdir()
    for source, out in ((folder, tmp_path / "out"), (STREET, folder)):
        text = f"{kind}:{source}" if kind and source is folder else str(source)
        line = fails("run", text, "--out", out)
        assert line.startswith(f"depth-recog run: {kind if source is folder else ''}")
        assert f"{tmp_path}/\\udcff is not valid UTF-8: rename it" in line
    assert not any(folder.iterdir())
    assert not (tmp_path / "out").exists()


def test_paths_below_a_folder_that_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / NOT_UTF8
    folder.mkdir()
    (folder / "drive.mp4").write_bytes(b"film")
    with pytest.raises(SourceError, match=r"drive\.mp4 is not valid UTF-8"):
        open_source(str(folder / "drive.mp4"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{NOT_UTF8}.png").write_bytes(b"image")
    with pytest.raises(SourceError, match=r"images/\\udcff\.png is not valid UTF-8"):
        open_source(str(tmp_path / "images"))
    for storage in bags.STORAGES:
        bags.write(tmp_path / storage, bags.calibrated(2), storage=storage)
        moved = (tmp_path / storage).rename(folder / storage)
        assert len(list(open_source(str(moved)))) == 2


def test_a_failure_as_a_process(tmp_path: Path) -> None:
    result = process("run", tmp_path / NOT_UTF8, "--out", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert re.match("depth-recog run: .*is not valid UTF-8", line)


@pytest.mark.parametrize("kind", [*READERS, ""])
@pytest.mark.parametrize("name", ["x" * 6000, "a\nb\x1b[31m"], ids=["long", "control"])
def test_a_strange_name_gives_one_line_that_can_be_read(
    kind: str, name: str, tmp_path: Path
) -> None:
    source = f"{kind}:{tmp_path / name}" if kind else str(tmp_path / name)
    line = fails("run", source, "--out", tmp_path / "out")
    assert line.isprintable()
    assert len(line) < 1200
    assert str(tmp_path)[:40] in line, "the path must be recognisable"


@pytest.mark.parametrize("limit", ["0", "-3", "two"])
def test_run_refuses_a_limit_without_frames(limit: str, tmp_path: Path) -> None:
    assert "argument --limit" in misused("run", STREET, "--out", tmp_path, "--limit", limit)
