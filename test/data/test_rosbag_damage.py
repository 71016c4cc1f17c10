# SPDX-License-Identifier: Apache-2.0
"""Damaged bags: cut off, with noise inside. The readable part is read."""

import re
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import bags
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType

from depth_recog.datasets.bags import mcap_bytes
from depth_recog.datasets.bags.mcap_file import McapFile
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.reader import numbered
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


@pytest.mark.parametrize("form", FORMS + SUMMARIES)
def test_whole_files_of_every_form(whole: Forms, tmp_path: Path, form: str) -> None:
    bag = Rosbag(placed(tmp_path, form, whole[form]))
    assert bags.check_part(bag, DRIVE) == COUNT
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
        count = bags.check_part(Rosbag(path), DRIVE)
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
    assert bags.check_part(bag, DRIVE) == COUNT
    assert "the summary is damaged" in caplog.messages[0]


@pytest.mark.parametrize("form", ["NONE", "ZSTD", "no chunks"])
def test_a_long_summary_is_not_parsed_and_not_called_damaged(
    form: str, whole: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    """Every record is read in its place, and the log says why that takes long."""
    monkeypatch.setattr(mcap_bytes, "BAG_SUMMARY_BYTES", 100)
    bag = Rosbag(placed(tmp_path, form, whole[form]))
    assert bags.check_part(bag, DRIVE) == COUNT
    assert not bag.left_out
    (line,) = set(caplog.messages)
    assert "is longer than 100, so every record is read" in line


def test_a_large_file_without_a_summary_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(mcap_bytes, "BAG_SUMMARY_BYTES", 100)
    nothing = dict.fromkeys(("use_statistics", "use_summary_offsets"), False)
    nothing |= dict.fromkeys(("repeat_schemas", "repeat_channels"), False)
    bag = Rosbag(
        mcap(tmp_path / "a.mcap", CompressionType.LZ4, index_types=IndexType.NONE, **nothing)
    )
    assert bags.check_part(bag, DRIVE) == COUNT
    assert not caplog.messages


def test_without_crcs_nothing_is_checked(tmp_path: Path) -> None:
    rows = bags.serialised(bags.calibrated(COUNT))
    path = bags.write_mcap(
        tmp_path / "a.mcap", rows, compression=CompressionType.NONE, enable_crcs=False
    )
    assert bags.check_part(Rosbag(path), DRIVE) == COUNT


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
