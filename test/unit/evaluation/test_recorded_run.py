# SPDX-License-Identifier: Apache-2.0
"""Results of `depth-recog run` have the figures of the source itself; damage is reported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from constructed import write_recording

from depth_recog.cli.main import main
from depth_recog.evaluation.recorded_run import RecordedRun

FRAMES = 6
LAST = f"frame-{FRAMES - 1:06d}.png"


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A street with depth and poses as files, which is faster than rendering it each time."""
    return write_recording(tmp_path_factory.mktemp("data") / "room", FRAMES, 320, 96)


@pytest.fixture(scope="module")
def run(room: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(["run", str(room), "--out", str(out), "--device", "cpu", "--uncertainty"]) == 0
    return out


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def figures(source: str | Path, json_file: Path, *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", str(source), "--json", str(json_file), *arguments]) == 0
    return json.loads(json_file.read_text())


def flat(value: Any, path: str = "") -> dict[str, float]:
    """Every number by its path."""
    if isinstance(value, dict):
        return {p: v for k, item in value.items() for p, v in flat(item, f"{path}.{k}").items()}
    return {path: value} if isinstance(value, (int, float)) else {}


@pytest.mark.parametrize("arguments", [[], ["--crop", "none", "--cap", "30", "--frames", "2:5"]])
def test_a_run_has_the_figures_of_its_source(
    room: Path, run: Path, tmp_path: Path, arguments: list[str]
) -> None:
    """Up to the PNG's 1/256 m."""
    of_run = flat(figures(run, tmp_path / "run.json", *arguments))
    of_source = flat(figures(room, tmp_path / "source.json", "--device", "cpu", *arguments))
    if arguments:
        of_run, of_source = (
            {k: v for k, v in f.items() if k.startswith((".depth", ".baselines"))}
            for f in (of_run, of_source)
        )
    assert of_run.keys() == of_source.keys()
    assert any(k.startswith(".depth.by_class") for k in of_run)
    for key, value in of_source.items():
        loose = ".a1" in key or ".a2" in key or ".a3" in key or "flicker" in key
        assert of_run[key] == pytest.approx(value, rel=3e-3, abs=5e-3 if loose else 5e-4), key


def test_about_says_which_run(room: Path, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(run)
    about = figures(".", tmp_path / "run.json", "--frames", ":3")["about"]
    assert about["run"] == "out"
    assert about["source"] == str(room)
    assert about["weights"] == "depth-street"
    assert len(about["weights sha256"]) == 64


def test_poses_belong_to_the_frames_in_their_own_order(tmp_path: Path) -> None:
    """Frame 9 comes before frame 10."""
    (tmp_path / "depth").mkdir()
    for i in (2, 9, 10):
        cv2.imwrite(f"{tmp_path}/depth/{i}.png", np.ones((4, 4), np.uint16))
    (tmp_path / "run.json").write_text('{"source": "x"}')
    rows = [f"1 0 0 {i} 0 1 0 0 0 0 1 0" for i in (2, 9, 10)]
    (tmp_path / "poses.txt").write_text("\n".join(rows))
    poses = RecordedRun(tmp_path)._poses
    assert {name: pose[0, 3] for name, pose in poses.items()} == {"2": 2, "9": 9, "10": 10}


def test_a_run_of_some_frames(copy: Path, tmp_path: Path) -> None:
    for i in (0, FRAMES - 1):
        (copy / f"depth/frame-{i:06d}.png").unlink()
    poses = (copy / "poses.txt").read_text().splitlines()
    (copy / "poses.txt").write_text("\n".join(poses[1:-1]))
    found = figures(copy, tmp_path / "f.json")
    assert (found["frames"]["asked"], found["frames"]["answered"]) == (FRAMES, FRAMES - 2)
    assert found["depth"]["images"] == FRAMES - 2


def test_a_run_that_was_interrupted_within_a_frame(copy: Path, tmp_path: Path) -> None:
    """The last frame has depth, but neither masks nor pose."""
    (copy / "mask" / LAST).unlink()
    (copy / "moving" / LAST).unlink()
    poses = (copy / "poses.txt").read_text().splitlines()
    (copy / "poses.txt").write_text("\n".join(poses[:-1]) + "\n")
    assert figures(copy, tmp_path / "f.json")["depth"]["images"] == FRAMES


@pytest.mark.parametrize("missing", [["poses.txt"], ["pairs.jsonl"], ["poses.txt", "pairs.jsonl"]])
def test_files_that_a_run_need_not_have(copy: Path, tmp_path: Path, missing: list[str]) -> None:
    for name in missing:
        (copy / name).unlink()
    found = figures(copy, tmp_path / "f.json")
    assert ("trajectory" in found.get("pose", {})) == ("poses.txt" not in missing)
    assert (found.get("pose", {}).get("pairs", 0) > 0) == ("pairs.jsonl" not in missing)


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def edit(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(change(lines)) + "\n")

    return changed


def report(**entries: object) -> Callable[[Path], object]:
    return edit("run.json", lambda lines: [json.dumps(json.loads("\n".join(lines)) | entries)])


def pair(**entries: object) -> Callable[[Path], object]:
    def change(lines: list[str]) -> list[str]:
        return [*lines[:2], json.dumps(json.loads(lines[2]) | entries), *lines[3:]]

    return edit("pairs.jsonl", change)


DEPTH = f"depth/{LAST}"
MASK = f"mask/{LAST}"
SMALL = cv2.imencode(".png", np.ones((3, 3), np.uint16))[1].tobytes()
EIGHT_BIT = cv2.imencode(".png", np.ones((96, 320), np.uint8))[1].tobytes()

DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "run.json empty": (write("run.json", ""), "run.json"),
    "run.json cut": (write("run.json", '{"source": "syn'), "run.json"),
    "run.json binary": (write("run.json", b"\xff\xfe\x00\x01"), "run.json"),
    "run.json a list": (write("run.json", "[1, 2]"), "run.json"),
    "run.json without source": (write("run.json", "{}"), "run.json"),
    "source gone": (report(source="/nowhere/at/all"), "/nowhere/at/all"),
    "source of another kind": (report(source=7), "7"),
    "source live": (report(source="v4l2:/dev/video97"), "/dev/video97"),
    "pairs cut": (edit("pairs.jsonl", lambda x: [*x[:-1], x[-1][:40]]), "pairs.jsonl, line"),
    "pairs binary": (write("pairs.jsonl", b"\xff\xfe\x00\x01"), "pairs.jsonl"),
    "pairs of something else": (write("pairs.jsonl", "[1]\n"), "pairs.jsonl, line 1"),
    "pairs without static": (write("pairs.jsonl", '{"first": "0"}\n'), "pairs.jsonl, line 1"),
    "static too short": (pair(static=[[1, 0], [0, 1]]), "pairs.jsonl, line 3"),
    "static ragged": (pair(static=[[1], [0, 1]]), "pairs.jsonl, line 3"),
    "static NaN": (pair(static=np.full((4, 4), np.nan).tolist()), "pairs.jsonl, line 3"),
    "static words": (pair(static="left"), "pairs.jsonl, line 3"),
    "poses cut": (edit("poses.txt", lambda x: x[:4]), "poses.txt has 4 lines for 6"),
    "poses too many": (edit("poses.txt", lambda x: x + x[:1]), "poses.txt has 7 lines for 6"),
    "a pose cut": (edit("poses.txt", lambda x: [*x[:-1], "1 2 3"]), "poses.txt"),
    "poses words": (write("poses.txt", "once upon a time\n"), "poses.txt"),
    "poses binary": (write("poses.txt", b"\xff\xfe\x00"), "poses.txt"),
    "poses NaN": (edit("poses.txt", lambda x: ["nan " * 12, *x[1:]]), "poses.txt"),
    "depth cut": (lambda f: write(DEPTH, (f / DEPTH).read_bytes()[:99])(f), DEPTH),
    "depth empty": (write(DEPTH, ""), DEPTH),
    "depth of another size": (write(DEPTH, SMALL), DEPTH),
    "depth of 8 bits": (write(DEPTH, EIGHT_BIT), DEPTH),
    "depths gone": (lambda f: [p.unlink() for p in (f / "depth").iterdir()], "copy"),
    "mask cut": (lambda f: write(MASK, (f / MASK).read_bytes()[:60])(f), MASK),
    "mask of another size": (write(MASK, SMALL), MASK),
    "moving no image": (write(f"moving/{LAST}", "hello"), f"moving/{LAST}"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_line(copy: Path, damage: str, capfd, tmp_path: Path) -> None:
    change, named = DAMAGE[damage]
    change(copy)
    assert main(["evaluate", str(copy), "--json", str(tmp_path / "f.json")]) == 1
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("depth-recog evaluate: ")
    assert named in line
    assert captured.out == ""
    assert not (tmp_path / "f.json").exists()


@pytest.mark.parametrize("key", ["weights", "mask_weights", "pose", "gate"])
@pytest.mark.parametrize("value", [None, [], "depth-street", {"name": 5}])
def test_a_report_with_other_things_in_it_is_read(
    copy: Path, tmp_path: Path, key: str, value: object
) -> None:
    """Missing entries are reported as unknown."""
    report(**{key: value})(copy)
    found = figures(copy, tmp_path / "f.json", "--frames", ":2")
    assert found["frames"]["answered"] == 2
    if key == "weights":
        assert None in found["frames"]["splits"]["trained_on"].values()


def test_a_run_whose_source_is_gone(run: Path, room: Path, capsys) -> None:
    away = room.rename(room.with_name("away"))
    try:
        assert main(["evaluate", str(run)]) == 1
    finally:
        away.rename(room)
    (line,) = capsys.readouterr().err.splitlines()
    assert str(run) in line
    assert f"{room} does not exist" in line
