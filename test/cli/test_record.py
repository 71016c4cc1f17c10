# SPDX-License-Identifier: Apache-2.0
"""`depth-recog record`: bags, interrupts, a full disk, and wrong usage."""

from __future__ import annotations

import resource
from pathlib import Path

import bags
import numpy as np
import pytest
import ros_processes as rp
from commands import command, fails, misused, process
from kitti_files import real
from street_files import assert_same_truth

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source

DRIVE = "kitti_raw/2011_09_26/2011_09_26_drive_0005_sync"
STREET = "synthetic:street?frames={}&width=160&height=64"
TRUTH = np.zeros((24, 32), np.uint8)
FORMS = pytest.mark.parametrize("form", ["--raw", "--compressed"])
STORAGES = pytest.mark.parametrize("storage", bags.STORAGES)


def record(*arguments: str | Path) -> str:
    """Call `depth-recog record`; return its output."""
    result = command("record", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def same(source: Recording, bag: Recording, largest_error: float) -> None:
    """Assert that a bag has the frames, cameras and ground truth of its source."""
    for index, (frame, found) in enumerate(zip(source, bag, strict=False)):
        assert (found.stamp_ns, found.camera) == (frame.stamp_ns, frame.camera)
        assert np.abs(found.image.astype(int) - frame.image).mean() <= largest_error
        assert_same_truth(source.truth(index), bag.truth(index))


@STORAGES
@FORMS
def test_a_street_comes_back(tmp_path: Path, storage: str, form: str) -> None:
    """A bag holds images, camera and truth; not flow."""
    source, bag = STREET.format(4), tmp_path / "bag"
    arguments = ["--storage", storage, form, "--namespace", "/robot/front"]
    said = record(source, "--out", bag, *arguments)
    assert "bag: 4 frames, ground truth: boxes, depth, labels, moving, pose" in said
    assert len(Rosbag(bag)) == 4
    same(open_source(source), Rosbag(bag), 0 if form == "--raw" else 5)


@pytest.mark.data
@STORAGES
@FORMS
def test_a_drive_comes_back(tmp_path: Path, storage: str, form: str) -> None:
    """KITTI raw, 12 frames: images, stamps, K, depth and poses of bag and folder are equal."""
    source = str(real(DRIVE))
    record(source, "--out", tmp_path / "bag", "--storage", storage, form, "--limit", "12")
    drive, bag = open_source(source), Rosbag(tmp_path / "bag")
    assert len(bag) == 12
    assert [frame.name for frame in bag] == [drive[i].name for i in range(12)]
    assert bag.rate_hz == pytest.approx(drive.rate_hz, rel=0.05)
    same(drive, bag, 0 if form == "--raw" else 2)


def written(folder: Path) -> bool:
    """Whether a bag that is being written has frames on the disk."""
    files = [*folder.glob(".bag.*/bag/*.mcap"), *folder.glob(".bag.*/bag/*.db3")]
    return any(file.stat().st_size > 1_000_000 for file in files)


@pytest.mark.parametrize("kind", rp.SIGNALS)
@STORAGES
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


@STORAGES
def test_a_full_disk_is_one_clear_line(storage: str, tmp_path: Path) -> None:
    """A limit on the file size stands in for a full disk: both are write errors."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    arguments = [STREET.format(400), "--out", tmp_path / "bag", "--storage", storage]
    done = process("record", *arguments, before=limit)
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


def test_a_damaged_frame_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = bags.calibrated(5)
    messages[7][2].encoding = "banana8"
    bags.write(tmp_path / "in", messages)
    result = command("record", tmp_path / "in", "--out", tmp_path / "out")
    assert result.returncode == 0
    assert "image 3 of /cam/image_raw cannot be read" in caplog.text
    assert "out: 4 frames, ground truth: none" in result.stdout
    assert len(Rosbag(tmp_path / "out")) == 4


def test_the_frames_before_damaged_truth_are_kept(tmp_path: Path) -> None:
    messages = bags.calibrated(5)
    for topic, time, message in messages[1::2]:
        truth = bags.image(0, TRUTH, "mono8", header=message.header)
        messages.append((topic.replace("image_raw", "ground_truth/moving"), time, truth))
    messages[-2][2].encoding = "banana8"
    bags.write(tmp_path / "in", messages)
    result = command("record", tmp_path / "in", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "for image 3 cannot be read" in result.stderr
    assert "out: 3 frames, ground truth: moving" in result.stdout
    assert len(Rosbag(tmp_path / "out")) == 3


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    source, out = STREET.format(2), tmp_path / "bag"
    assert "exists already" in fails("record", source, "--out", tmp_path / "there")
    assert "cannot be written" in fails("record", source, "--out", tmp_path / "file/bag")
    assert "does not exist" in fails("record", tmp_path / "nothing", "--out", out)
    assert "add --compressed" in fails("record", source, "--out", out, "--quality", "9")
    for wrong in (["--namespace", "a b"], ["--quality", "0"], ["--raw", "--compressed"]):
        misused("record", source, "--out", out, *wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_without_rosbags_the_error_names_the_package(tmp_path: Path) -> None:
    bags.write(tmp_path / "bag", bags.calibrated(1))
    for arguments in (("record", "synthetic"), ("run", tmp_path / "bag")):
        line = fails(*arguments, "--out", tmp_path / "out", without="rosbags")
        assert "pip install rosbags" in line
