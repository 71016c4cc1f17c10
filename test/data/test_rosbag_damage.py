# SPDX-License-Identifier: Apache-2.0
"""Damaged bags: cut off, with missing files or incomplete images. The readable part is read."""

import re
import shutil
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import bags
import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionMode

from depth_recog.datasets.bags.mcap_file import McapFile
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.reader import numbered
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, DepthRecogError, SourceError

DRIVE = bags.Drive(300)
COUNT = 40


def mcap(path: Path, compression: CompressionType, chunk: int = 20_000, **more: bool) -> Path:
    """A drive in chunks of several frames."""
    rows = bags.serialised(bags.calibrated(COUNT))
    return bags.write_mcap(path, rows, chunk_size=chunk, compression=compression, **more)


class Forms(dict[str, bytes]):
    """Leaves the bytes out of test reports."""

    def __repr__(self) -> str:
        return f"Forms({list(self)})"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Forms:
    """The bytes of a drive in every form of storage."""
    place = tmp_path_factory.mktemp("whole")
    forms = {t.name: mcap(place / f"{t.name}.mcap", t) for t in CompressionType}
    bare = {"use_statistics": False, "use_summary_offsets": False}
    forms["no index"] = mcap(place / "n.mcap", CompressionType.LZ4, **bare)
    for part in ("schemas", "channels"):
        file = place / f"{part}.mcap"
        forms[f"no {part}"] = mcap(file, CompressionType.ZSTD, **{f"repeat_{part}": False})
    forms["no chunks"] = mcap(place / "c.mcap", CompressionType.NONE, use_chunking=False)
    messages = bags.calibrated(COUNT)
    forms["sqlite3"] = bags.write(place / "s", messages, "sqlite3") / "s.db3"
    forms["rosbags"] = bags.write(place / "r", messages, "mcap") / "r.mcap"
    return Forms({name: path.read_bytes() for name, path in forms.items()})


FORMS = ("NONE", "LZ4", "ZSTD", "no index", "no chunks", "sqlite3", "rosbags")
SUMMARIES = ("no schemas", "no channels")
"""mcap files whose summary lacks a part, as rosbag2 can be told to write them."""


def placed(folder: Path, form: str, data: bytes) -> Path:
    path = folder / ("bag.db3" if form == "sqlite3" else "bag.mcap")
    path.write_bytes(data)
    return path


def check_part(bag: Rosbag) -> int:
    """Asserts that the frames are the drive's first ones, unchanged; returns their number."""
    frames = list(bag)
    numbers = [(frame.stamp_ns - bags.START) // bags.PERIOD for frame in frames]
    assert numbers == list(range(len(frames))), "not the first frames"
    for number, frame in zip(numbers, frames, strict=True):
        assert frame.stamp_ns == DRIVE[number].stamp_ns
        np.testing.assert_array_equal(frame.image, DRIVE[number].image)
        assert frame.camera == bags.CAMERA
    return len(frames)


@pytest.mark.parametrize("form", FORMS + SUMMARIES)
def test_whole_files_of_every_form(whole: Forms, tmp_path: Path, form: str) -> None:
    bag = Rosbag(placed(tmp_path, form, whole[form]))
    assert check_part(bag) == COUNT
    assert bag.left_out == 0


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(share=st.floats(0, 0.999))
@example(share=0.5)
@example(share=0.999)
def test_a_file_that_was_cut_off(
    form: str, share: float, whole: Forms, tmp_path: Path, caplog
) -> None:
    """The complete part is read with one warning; if nothing can be read, there is one error."""
    caplog.clear()
    data = whole[form]
    path = placed(tmp_path, form, data[: int(len(data) * share)])
    count = None
    with suppress(SourceError, CalibrationError):
        count = check_part(Rosbag(path))
    if count is None:
        with pytest.raises((SourceError, CalibrationError), match=re.escape(str(path))):
            Rosbag(path)
        assert share < 0.2
        return
    # Complete messages in the last chunk or sqlite page may be lost.
    assert count >= share * COUNT - 8
    if count < COUNT:
        assert len(caplog.messages) == 1
        assert "cut off" in caplog.messages[0]
        assert f"{count} images are read" in caplog.messages[0]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(at=st.floats(0, 0.999), noise=st.binary(min_size=1, max_size=400))
def test_noise_anywhere_is_no_traceback(
    form: str, at: float, noise: bytes, whole: Forms, tmp_path: Path
) -> None:
    data = bytearray(whole[form])
    start = int(at * len(data))
    data[start : start + len(noise)] = noise
    path = placed(tmp_path, form, bytes(data))
    with suppress(DepthRecogError):
        bag = Rosbag(path)
        for index in range(len(bag)):
            with suppress(DepthRecogError):
                assert bag[index].image.ndim == 3


@pytest.mark.parametrize("form", ["LZ4", "ZSTD"])
def test_the_crc_of_a_chunk_is_checked(whole: Forms, tmp_path: Path, form: str) -> None:
    """The images of a chunk with a wrong CRC are left out; those of other chunks are read."""
    data = bytearray(whole[form])
    reader = make_reader(BytesIO(whole[form]))
    summary = reader.get_summary()
    # The CRC follows opcode, length, two times and the uncompressed size.
    data[summary.chunk_indexes[1].chunk_start_offset + 9 + 24] ^= 1
    bag = Rosbag(placed(tmp_path, form, bytes(data)))
    assert 0 < bag.left_out < 10
    assert len(bag) + bag.left_out == COUNT
    for frame in bag:
        number = (frame.stamp_ns - bags.START) // bags.PERIOD
        np.testing.assert_array_equal(frame.image, DRIVE[number].image)


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
    assert 0 < check_part(Rosbag(path)) < 300


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


# mcap's checks


def damaged(data: bytes, at: int, count: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, count, dtype=np.uint8).tobytes()
    return data[:at] + noise + data[at + count :]


@pytest.mark.parametrize("form", ["NONE", "no schemas", "no channels"])
def test_the_crc_of_an_uncompressed_chunk_is_checked(
    form: str, whole: Forms, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pixels that were overwritten: the frames of the chunk are left out, with one warning."""
    if form == "NONE":
        data = whole[form]
    else:
        part = f"repeat_{form.split()[1]}"
        data = mcap(tmp_path / "x.mcap", CompressionType.NONE, **{part: False}).read_bytes()
    at = data.find(DRIVE[17].image.tobytes()[:40])
    bag = Rosbag(placed(tmp_path, form, damaged(data, at + 100, 300)))
    assert len(bag) == COUNT
    kept = []
    for index, frame in numbered(bag):
        np.testing.assert_array_equal(frame.image, DRIVE[index].image)
        assert frame.camera == bags.CAMERA
        kept.append(index)
    assert 17 not in kept
    assert COUNT - 10 < len(kept) < COUNT
    assert "CRC is wrong; the frame is left out" in caplog.messages[0]
    assert f"{COUNT - len(kept)} frames that cannot be read" in caplog.messages[1]
    with pytest.raises(SourceError, match="CRC is wrong"):
        bag[17]


def test_a_damaged_calibration_is_not_used(tmp_path: Path) -> None:
    """One byte of K: the frames take the CameraInfo before, and of the chunk none is read."""
    messages = bags.calibrated(12)
    data = bags.write_mcap(
        tmp_path / "a.mcap",
        bags.serialised(messages),
        chunk_size=2500,
        compression=CompressionType.NONE,
    ).read_bytes()
    focal = struct.pack("<d", bags.CAMERA.fx)
    for number in range(12):
        at = -1
        for _ in range(2 * number + 1):  # K and P
            at = data.find(focal, at + 1)
        changed = data[:at] + struct.pack("<d", 2 * bags.CAMERA.fx) + data[at + 8 :]
        (tmp_path / "b.mcap").write_bytes(changed)
        frames = list(Rosbag(tmp_path / "b.mcap"))
        assert len(frames) >= 9
        assert {frame.camera for frame in frames} == {bags.CAMERA}


def test_a_damaged_summary_is_not_used(whole: Forms, tmp_path: Path, caplog) -> None:
    """The name of the topic, which only the summary's CRC protects there."""
    data = whole["NONE"]
    at = data.rfind(b"/cam/image_raw")
    path = placed(tmp_path, "NONE", data[:at] + b"/cam/image_rax" + data[at + 14 :])
    bag = Rosbag(path)
    assert check_part(bag) == COUNT
    assert "the summary is damaged" in caplog.messages[0]


def test_without_crcs_nothing_is_checked(tmp_path: Path) -> None:
    rows = bags.serialised(bags.calibrated(COUNT))
    path = bags.write_mcap(
        tmp_path / "a.mcap", rows, compression=CompressionType.NONE, enable_crcs=False
    )
    assert check_part(Rosbag(path)) == COUNT


@pytest.mark.parametrize("form", SUMMARIES)
def test_a_summary_without_a_part_needs_few_chunks(
    form: str, whole: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channels are in the first chunk that has their messages: no need to read all."""
    read = []
    real = McapFile._records
    monkeypatch.setattr(McapFile, "_records", lambda file, n: (read.append(n), real(file, n))[1])
    file = McapFile(placed(tmp_path, form, whole[form]))
    assert sorted(file.topics) == ["/cam/camera_info", "/cam/image_raw"]
    assert set(read) == {0}
    assert len(file._chunks) > 5
