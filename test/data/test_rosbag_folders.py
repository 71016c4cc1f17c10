# SPDX-License-Identifier: Apache-2.0
"""Folders of bags with missing, half-written or foreign files; images that are incomplete."""

import shutil
from pathlib import Path

import bags
import cv2
import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import CompressionMode

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError

DRIVE = bags.Drive(300)


# Folders


def split(path: Path, storage: str = "mcap") -> Path:
    """A bag in three parts of two frames each."""
    messages = bags.calibrated()
    path.mkdir()
    parts = []
    for part in range(3):
        piece = bags.write(path / f"bag_{part}", messages[4 * part : 4 * part + 4], storage)
        file = next(f for f in piece.iterdir() if f.suffix != ".yaml")
        parts.append((yaml.safe_load((piece / "metadata.yaml").read_text()), file.name))
        file.rename(path / file.name)
        shutil.rmtree(piece)
    content = parts[0][0]
    information = content["rosbag2_bagfile_information"]
    information["relative_file_paths"] = [name for _, name in parts]
    for topic in information["topics_with_message_count"]:
        topic["message_count"] *= 3
    (path / "metadata.yaml").write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_split_bag_with_a_part_missing(tmp_path: Path, storage: str, caplog) -> None:
    path = split(tmp_path / "bag", storage)
    bag = Rosbag(path)
    assert [f.stamp_ns for f in bag] == [f.stamp_ns for f in bags.Drive()]
    assert bag.file(0) != bag.file(5)
    assert not caplog.messages
    part = next(path.glob("bag_1.*"))
    part.rename(tmp_path / "elsewhere")
    bag = Rosbag(path)
    assert [f.stamp_ns for f in bag] == [DRIVE[i].stamp_ns for i in (0, 1, 4, 5)]
    assert bag.left_out == 2
    assert len(caplog.messages) == 1
    assert f"{part.name} is missing" in caplog.messages[0]
    assert "2 images that metadata.yaml counts are missing" in caplog.messages[0]
    part.write_bytes(b"no bag")
    assert len(Rosbag(path)) == 4
    assert f"{part.name} is left out" in caplog.messages[1]


@pytest.mark.parametrize(
    "text", [None, "", "rosbag2_bagfile_information:\n  version: 9\n  rel", "[" * 9]
)
def test_metadata_that_is_missing_or_half_written(tmp_path: Path, text: str | None, caplog) -> None:
    path = split(tmp_path / "bag")
    (path / "metadata.yaml").unlink()
    if text is not None:
        (path / "metadata.yaml").write_text(text)
    assert len(list(open_source(str(path)))) == 6
    state = "missing" if text is None else "damaged"
    assert f"metadata.yaml is {state}" in caplog.messages[0]


def test_files_beside_the_bags_own(tmp_path: Path, caplog) -> None:
    """A file that metadata.yaml does not list, and one that rosbag2 has decompressed."""
    path = bags.write(tmp_path / "bag", bags.calibrated(), "mcap", CompressionMode.FILE)
    other = bags.write(tmp_path / "other", bags.calibrated(3, "/other/image")) / "other.mcap"
    shutil.copy(other, path)
    assert len(Rosbag(path)) == 6
    plain = bags.write(tmp_path / "plain" / "bag", bags.calibrated()) / "bag.mcap"
    shutil.copy(plain, path)
    assert [f.stamp_ns for f in Rosbag(path)] == [f.stamp_ns for f in bags.Drive()]
    (path / "bag.mcap.zstd").unlink()
    assert len(Rosbag(path)) == 6
    assert not caplog.messages
    (path / "bag.mcap").unlink()
    assert len(Rosbag(path)) == 3
    assert "bag.mcap.zstd is missing" in caplog.messages[0]


def test_a_folder_without_its_files(tmp_path: Path) -> None:
    path = split(tmp_path / "bag")
    for file in path.glob("*.mcap"):
        file.unlink()
    expected = r"no file of a bag.*missing are bag_0\.mcap, bag_1\.mcap, bag_2\.mcap"
    with pytest.raises(SourceError, match=expected):
        open_source(str(path))


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.mcap.zstd", "a.db3.zstd"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89MCAP0\r\n", b"SQLite format 3\0"])
def test_files_that_are_not_bags(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.(mcap|db3)"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_file_compressed_as_a_whole_and_cut_off(tmp_path: Path, storage: str) -> None:
    path = bags.write(tmp_path / "b", bags.calibrated(300), storage, CompressionMode.FILE)
    packed = next(path.glob("*.zstd"))
    packed.write_bytes(packed.read_bytes()[: int(packed.stat().st_size * 0.7)])
    assert 0 < bags.check_part(Rosbag(path), DRIVE) < 300


# Images


def jpegs(count: int = 6) -> bags.Messages:
    found: bags.Messages = []
    for frame in bags.Drive(count):
        data = cv2.imencode(".jpg", frame.image)[1].tobytes()
        found.append(("/cam/camera_info", frame.stamp_ns, bags.info(frame.stamp_ns)))
        message = bags.compressed(frame.stamp_ns, data)
        found.append(("/cam/image/compressed", frame.stamp_ns, message))
    return found


@pytest.mark.parametrize("storage", bags.STORAGES)
@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.MESSAGE])
def test_incomplete_images(tmp_path: Path, storage: str, mode: CompressionMode, caplog) -> None:
    """Empty and truncated images are left out and counted."""
    messages = jpegs()
    messages[3][2].data = np.array([], np.uint8)
    messages[7][2].data = messages[7][2].data[:-30].copy()
    bag = Rosbag(bags.write(tmp_path / "jpeg", messages, storage, mode))
    assert [f.stamp_ns for f in bag] == [DRIVE[i].stamp_ns for i in (0, 2, 4, 5)]
    assert bag.left_out == 2
    assert "2 images are empty or cut off; 4 images are read, 2 left out" in caplog.messages[0]
    messages = bags.calibrated()
    messages[1][2].data = np.array([], np.uint8)
    messages[5][2].data = messages[5][2].data[:-1].copy()
    bag = Rosbag(bags.write(tmp_path / "raw", messages, storage, mode))
    assert [f.stamp_ns for f in bag] == [DRIVE[i].stamp_ns for i in (1, 3, 4, 5)]


def test_no_complete_image(tmp_path: Path) -> None:
    messages = jpegs(2)
    for message in messages[1::2]:
        message[2].data = np.array([], np.uint8)
    bag = bags.write(tmp_path / "bag", messages)
    with pytest.raises(SourceError, match=r"/cam/image/compressed has no image that can be read"):
        open_source(str(bag))


def test_an_image_damaged_inside_is_named(tmp_path: Path) -> None:
    messages = jpegs()
    data = messages[5][2].data
    messages[5][2].data = np.concatenate([data[:2], np.zeros(200, np.uint8), data[-2:]])
    bag = Rosbag(bags.write(tmp_path / "bag", messages))
    with pytest.raises(SourceError, match=r"image 2 of /cam/image/compressed cannot be read"):
        bag[2]
    assert bag[3].stamp_ns == DRIVE[3].stamp_ns
