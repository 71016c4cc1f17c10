# SPDX-License-Identifier: Apache-2.0
"""`depth-recog run`: its output, exit status and files; usage of all verbs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import command, fails, misused, process

from depth_recog.datasets.sources import open_source

FRAMES = 6
STREET = f"synthetic:street?frames={FRAMES}&width=320&height=96"


def test_help() -> None:
    result = process("--help")
    assert result.returncode == 0
    for verb in ("run", "demo", "doctor"):
        assert re.search(rf"^ +{verb} +\w", result.stdout, re.MULTILINE)
    assert result.stderr == ""


@pytest.mark.parametrize("verb", ["run", "demo"])
def test_help_of_a_verb(verb: str) -> None:
    result = command(verb, "--help")
    assert result.returncode == 0
    for word in ("SOURCE", "--out", "--device", "--weights", "--limit", "kitti_raw:DRIVE"):
        assert word in result.stdout
    assert result.stderr == ""


def test_version() -> None:
    assert re.fullmatch(r"depth_recog \d+\.\d+\.\d+\n", command("--version").stdout)


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run"], ["run", "synthetic"], ["run", "x", "--out", "y", "--fly"]]
)
def test_wrong_usage_shows_the_usage(arguments: list[str]) -> None:
    misused(*arguments)


# run


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of `run` on a short drive; as a process, which prints nothing."""
    folder = tmp_path_factory.mktemp("run") / "new" / "out"
    result = process("run", STREET, "--out", folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == ""
    return folder


def pictures(out: Path, folder: str) -> list[Any]:
    paths = sorted((out / folder).iterdir())
    assert [p.name for p in paths] == [f"{i:010d}.png" for i in range(FRAMES)]
    return [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in paths]


def test_run_writes_nothing_else(out: Path) -> None:
    names = {p.name for p in out.iterdir()}
    assert names == {"depth", "mask", "moving", "poses.txt", "pairs.jsonl", "run.json"}


def test_run_depth_is_256th_of_metres(out: Path) -> None:
    truth = open_source(STREET).truth(3).depth
    depths = pictures(out, "depth")
    for depth in depths:
        assert depth.dtype == np.uint16
        assert depth.shape == (96, 320)
        assert depth.max() <= 80 * 256
        assert (depth > 0).mean() > 0.25
    assert truth is not None
    both = (depths[3] > 0) & np.isfinite(truth) & (truth < 60)
    # Checks unit and orientation, not the accuracy of the network.
    assert 0.5 < np.median(depths[3][both] / 256 / truth[both]) < 2


def test_run_masks(out: Path) -> None:
    for labels, moving in zip(pictures(out, "mask"), pictures(out, "moving"), strict=True):
        assert labels.dtype == moving.dtype == np.uint8
        assert labels.shape == moving.shape == (96, 320)
        assert set(np.unique(labels)) <= set(range(19))
        assert set(np.unique(moving)) <= {0, 1, 2}


def test_run_poses_are_a_trajectory(out: Path) -> None:
    poses = np.loadtxt(out / "poses.txt").reshape(-1, 3, 4)
    assert len(poses) == FRAMES
    assert np.array_equal(poses[0], np.eye(4)[:3])
    for pose in poses:
        assert np.allclose(pose[:, :3] @ pose[:, :3].T, np.eye(3), atol=1e-6)
        assert np.linalg.det(pose[:, :3]) == pytest.approx(1)
    # T_first_from_frame of a camera that drives forward.
    assert (np.diff(poses[:, 2, 3]) > 0.1).all()


PAIR = {"first", "second", "dt", "static", "dynamic", "target", "absolute_difference"}
PAIR |= {"thresholds", "decision", "why", "regions"}
REGION = {"number", "class", "pixels", "features", "decision", "score", "why"}
REGION |= {"velocity", "deviation", "centre", "size"}


def test_run_pairs(out: Path) -> None:
    lines = (out / "pairs.jsonl").read_text().splitlines()
    assert 1 <= len(lines) <= FRAMES - 1
    for line in lines:
        pair = json.loads(line)
        assert set(pair) == PAIR
        assert int(pair["first"]) < int(pair["second"]) < FRAMES
        assert pair["dt"] == pytest.approx(0.1 * (int(pair["second"]) - int(pair["first"])))
        assert pair["decision"] in ("moving", "still", "undecided")
        assert pair["why"]
        for key in ("static", "dynamic", "target"):
            if pair[key] is not None:
                assert np.shape(pair[key]) == (4, 4)
                assert pair[key][3] == [0, 0, 0, 1]
        if pair["absolute_difference"] is not None:
            difference = np.abs(np.subtract(pair["static"], pair["dynamic"]))
            assert np.allclose(pair["absolute_difference"], difference)


def test_run_regions(out: Path) -> None:
    """Regions agree with the moving mask; values are numbers or null, since JSON has no NaN."""
    moving = pictures(out, "moving")
    for line in (out / "pairs.jsonl").read_text().splitlines():
        assert "NaN" not in line
        pair = json.loads(line)
        assert pair["regions"]
        for region in pair["regions"]:
            assert set(region) == REGION
            assert region["class"] in ("person", "rider", "car", "truck", "bus")
            for key in ("velocity", "deviation", "centre", "size"):
                assert region[key] is None or np.isfinite(region[key]).all()
            assert (region["score"] is None) == (region["velocity"] is None)
        decided = {region["decision"] for region in pair["regions"]}
        codes = set(np.unique(moving[int(pair["second"])]))
        assert ("moving" in decided) == (2 in codes)
        assert (pair["decision"] == "moving") == (2 in codes)


def test_run_with_weights_of_the_gates_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    drive = STREET.replace(f"frames={FRAMES}", "frames=2")
    result = command("run", drive, "--out", out, "--gate-weights", "depth-street")
    assert result.returncode == 0, result.stderr
    report = json.loads((out / "run.json").read_text())
    assert report["gate_weights"] == report["weights"]
    line = fails("run", drive, "--out", tmp_path / "no", "--gate-weights", "pose-street")
    assert "pose network" in line


def test_run_report(out: Path) -> None:
    report = json.loads((out / "run.json").read_text())
    assert report["frames"] == {"in": FRAMES, "out": FRAMES, "dropped": 0, "rejected": 0}
    assert report["source"] == STREET
    assert report["kind"] == "synthetic"
    assert report["interrupted"] is False
    assert report["error"] is None
    assert report["seconds"] > 0
    assert report["unit"] == "metres"
    assert report["gate_weights"] is None
    for key in ("weights", "mask_weights"):
        assert re.fullmatch("[0-9a-f]{64}", report[key]["sha256"])
    assert {
        "depth_recog",
        "python",
        "runtimes",
        "opencv",
        "device",
        "backend",
        "pose",
        "gate",
    } <= set(report)
    assert report["precision"] in ("float32", "bfloat16")


def test_run_in_another_precision(out: Path, tmp_path: Path) -> None:
    """The report names the precision, and the depth differs by a few 1/256 m."""
    depths = []
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        arguments = ["--limit", "1", "--precision", precision]
        result = command("run", STREET, "--out", folder, *arguments)
        assert result.returncode == 0, result.stderr
        assert json.loads((folder / "run.json").read_text())["precision"] == precision
        (path,) = (folder / "depth").iterdir()
        depths.append(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(float))
    known = np.minimum(*depths) > 0
    difference = np.abs(depths[1] - depths[0])[known] / depths[0][known]
    assert 0 < difference.mean() < 0.005


@pytest.mark.parametrize("verb", ["run", "evaluate"])
def test_an_unknown_precision_is_refused(verb: str, tmp_path: Path) -> None:
    out = ["--out", tmp_path] if verb == "run" else []
    error = misused(verb, STREET, *out, "--precision", "half")
    for word in ("--precision", "'half'", "auto", "float32", "bfloat16"):
        assert word in error


def test_run_does_not_mix_two_runs(out: Path) -> None:
    before = (out / "run.json").read_bytes()
    line = fails("run", STREET, "--out", out)
    assert str(out) in line
    assert "another folder" in line
    assert (out / "run.json").read_bytes() == before


def test_run_again_gives_the_same(out: Path, tmp_path: Path) -> None:
    """`run` is deterministic: with a limit it writes the first frames of the same output."""
    result = command("run", STREET, "--out", tmp_path, "--limit", "3", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    names = sorted(p.name for p in (tmp_path / "depth").iterdir())
    assert len(names) == 3
    for folder in ("depth", "mask", "moving"):
        for name in names:
            assert (tmp_path / folder / name).read_bytes() == (out / folder / name).read_bytes()
    beginning = (out / "poses.txt").read_text().splitlines()[:3]
    assert (tmp_path / "poses.txt").read_text().splitlines() == beginning
