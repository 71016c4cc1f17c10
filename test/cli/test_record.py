# SPDX-License-Identifier: Apache-2.0
"""`depth-recog record`: bags, interrupts, a full disk, and wrong usage."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import bags
import numpy as np
import pytest
import ros_processes as rp
from commands import fails, process
from street_files import assert_same_truth

from depth_recog.cli.main import main
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.sources import open_source

DATA = Path(os.environ.get("DEPTH_RECOG_DATA", Path(__file__).parents[3] / "shared" / "data"))
DRIVE = DATA / "kitti_raw" / "2011_09_26" / "2011_09_26_drive_0005_sync"
STREET = "synthetic:street?frames={}&width=160&height=64"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "depth_recog.cli.main", "record", *arguments]


@pytest.mark.parametrize("storage", bags.STORAGES)
@pytest.mark.parametrize("form", ["--raw", "--compressed"])
def test_a_street_comes_back(
    tmp_path: Path, storage: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bag holds images, camera and truth; not flow."""
    source = STREET.format(4)
    arguments = ["record", source, "--out", f"{tmp_path}/bag", "--storage", storage, form]
    assert main([*arguments, "--namespace", "/robot/front"]) == 0
    assert (
        "bag: 4 frames, ground truth: boxes, depth, labels, moving, pose" in capsys.readouterr().out
    )
    street, bag = open_source(source), open_source(f"{tmp_path}/bag")
    for index, (frame, found) in enumerate(zip(street, bag, strict=True)):
        assert found.stamp_ns == frame.stamp_ns
        assert found.camera == frame.camera
        error = np.abs(found.image.astype(int) - frame.image)
        assert error.mean() <= (0 if form == "--raw" else 5)
        assert_same_truth(street.truth(index), bag.truth(index))  # type: ignore[attr-defined]


@pytest.mark.data
@pytest.mark.skipif(not DRIVE.is_dir(), reason=f"no {DRIVE}")
@pytest.mark.parametrize("storage", bags.STORAGES)
@pytest.mark.parametrize("form", ["--raw", "--compressed"])
def test_a_drive_comes_back(tmp_path: Path, storage: str, form: str) -> None:
    """KITTI raw, 12 frames: images, stamps, K, depth and poses of bag and folder are equal."""
    arguments = ["record", str(DRIVE), "--out", f"{tmp_path}/bag", "--storage", storage]
    assert main([*arguments, form, "--limit", "12"]) == 0
    drive, bag = open_source(str(DRIVE)), Rosbag(tmp_path / "bag")
    assert len(bag) == 12
    assert bag.rate_hz == pytest.approx(drive.rate_hz, rel=0.05)
    for index, (frame, found) in enumerate(zip(drive, bag, strict=False)):
        assert (found.name, found.stamp_ns) == (frame.name, frame.stamp_ns)
        assert found.camera == frame.camera
        error = np.abs(found.image.astype(int) - frame.image)
        assert error.mean() <= (0 if form == "--raw" else 2)
        assert_same_truth(drive.truth(index), bag.truth(index))  # type: ignore[attr-defined]


def written(folder: Path) -> bool:
    """Whether a bag that is being written has frames on the disk."""
    files = [*folder.glob(".bag.*/bag/*.mcap"), *folder.glob(".bag.*/bag/*.db3")]
    return any(file.stat().st_size > 1_000_000 for file in files)


@pytest.mark.parametrize("kind", rp.SIGNALS)
@pytest.mark.parametrize("storage", bags.STORAGES)
def test_an_interrupt_leaves_a_whole_bag(kind: str, storage: str, tmp_path: Path) -> None:
    out = tmp_path / "bag"
    source = STREET.format(100000)
    recorder = rp.start_command(
        "record", source, "--out", str(out), "--storage", storage, forked=True
    )
    try:
        # Both storages keep the first megabyte in memory.
        rp.wait_until(lambda: written(tmp_path) or recorder.popen.poll() is not None, "frames")
        code, _ = rp.end_with(recorder, kind, 0.1)
    finally:
        recorder.kill()
    assert code == 0, recorder.story()
    assert "Traceback" not in recorder.stderr, recorder.story()
    assert "interrupted after" in recorder.stderr
    count = int(recorder.stderr.split("interrupted after ")[1].split()[0])
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    bag = Rosbag(out)
    assert len(bag) == len(list(bag)) == count > 0
    assert bag.left_out == 0
    assert (out / "metadata.yaml").is_file()


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_full_disk_is_one_clear_line(storage: str, tmp_path: Path) -> None:
    """A limit on the file size stands in for a full disk: both are write errors."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    arguments = command(STREET.format(400), "--out", str(tmp_path / "bag"), "--storage", storage)
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=100, preexec_fn=limit, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{tmp_path}/bag: cannot be written" in done.stderr
    assert "free some space" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_damaged_source_is_reported_once(tmp_path: Path) -> None:
    """The warning appears once in the output; complete images are recorded."""
    path = bags.write(tmp_path / "in", bags.calibrated(5))
    (path / "metadata.yaml").unlink()
    done = process("record", path, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr.count("metadata.yaml is missing; 5 images are read, 0 left out") == 1
    assert "5 frames" in done.stdout


def test_what_was_read_before_a_damaged_frame_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = bags.calibrated(5)
    messages[7][2].encoding = "banana8"
    bags.write(tmp_path / "in", messages)
    assert main(["record", f"{tmp_path}/in", "--out", f"{tmp_path}/out"]) == 1
    printed = capsys.readouterr()
    assert "image 3 of /cam/image_raw cannot be read" in printed.err
    assert "out: 3 frames, ground truth: none" in printed.out
    assert len(Rosbag(tmp_path / "out")) == 3


def test_what_cannot_be_done_is_said_before_it_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    source = STREET.format(2)
    for out, expected in (("there", "exists already"), ("file/bag", "cannot be written")):
        assert main(["record", source, "--out", f"{tmp_path}/{out}"]) == 1
        assert expected in capsys.readouterr().err
    assert main(["record", f"{tmp_path}/nothing", "--out", f"{tmp_path}/bag"]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main(["record", source, "--out", f"{tmp_path}/bag", "--quality", "9"]) == 1
    assert "add --compressed" in capsys.readouterr().err
    for wrong in (["--namespace", "a b"], ["--quality", "0"], ["--raw", "--compressed"]):
        with pytest.raises(SystemExit):
            main(["record", source, "--out", f"{tmp_path}/bag", *wrong])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_without_rosbags_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    bags.write(tmp_path / "bag", bags.calibrated(1))
    for arguments in (("record", "synthetic"), ("run", tmp_path / "bag")):
        line = fails(*arguments, "--out", tmp_path / "out", without="rosbags")
        assert "pip install rosbags" in line
