# SPDX-License-Identifier: Apache-2.0
"""Small files that took gigabytes, minutes or the process: refused, in bounds."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rosbags")

import bags
from fuzz import bombs, running
from fuzz.mutations import Files
from fuzz.running import Door, Outcome, put, tried
from fuzz.sources import DOORS as SOURCES

from depth_recog.datasets.bags.messages import MARKERS, MessageDecoder
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.bags.storage import DamagedError, Topic
from depth_recog.datasets.camera_yaml import read_camera_yaml
from depth_recog.datasets.image_files import read_rgb
from depth_recog.datasets.kitti.tracklets import read_tracklets
from depth_recog.documents import parse_json, parse_yaml, yaml_text
from depth_recog.errors import CalibrationError, DocumentError, SourceError
from depth_recog.interfaces.calibration import intrinsics, with_lens

IMAGES = next(door for door in SOURCES if door.name == "images")
BAGS = next(door for door in SOURCES if door.name == "bags, mcap")


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def opened(door: Door, files: Files, folder: Path) -> Outcome:
    put(files, folder / "input")
    return tried(door, folder / "input")


# Images


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (bombs.jpeg, "65000x50000 pixels, more than"),
        (bombs.png, "60000x60000 pixels, more than"),
        (bombs.tiff, "100000x100000 pixels, more than"),
        (bombs.progressive_jpeg, "more than 100 scans"),
        (lambda: bombs.behind_png(".bmp"), "is a BMP"),
        (lambda: bombs.behind_png(".hdr"), "neither JPEG"),
        (lambda: bombs.behind_png(".exr"), "neither JPEG"),
    ],
)
def test_an_image_is_refused_by_its_first_bytes(
    make: Callable[[], Files], words: str, tmp_path: Path
) -> None:
    outcome = opened(IMAGES, make(), tmp_path)
    assert outcome.answer == "refused", outcome
    (file,) = (tmp_path / "input").iterdir()
    with pytest.raises(SourceError, match=words):
        read_rgb(file)


def test_a_pipe_as_an_image_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(SourceError, match="not a regular file"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(SourceError, match="cannot be read"):
        read_rgb(Path("/dev/zero"))


# Bags


@pytest.mark.parametrize(
    "make",
    [
        bombs.zstd_chunk,
        bombs.lz4_chunk,
        lambda folder: bombs.zstd_chunk(folder, 2**20),
        lambda folder: bombs.lz4_chunk(folder, 2**20),
        bombs.zstd_file,
        bombs.zstd_message,
        bombs.many_channels,
        bombs.endless_view,
        bombs.computed_column,
        bombs.shared_pages,
    ],
)
def test_a_bag_that_unpacks_or_computes_without_end(
    make: Callable[[Path], Files], tmp_path: Path
) -> None:
    outcome = opened(BAGS, make(tmp_path / "made"), tmp_path)
    assert outcome.answer == "refused", outcome


def test_decompression_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=40 * 2**20)
    monkeypatch.setattr("depth_recog.datasets.bags.bag.shutil.disk_usage", lambda _: free)
    put(bombs.zstd_file(tmp_path / "made"), tmp_path / "input")
    with pytest.raises(SourceError, match="less than 20 MiB would be left"):
        Rosbag(tmp_path / "input" / "b.mcap.zstd")


def test_chunks_that_share_a_message_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5000 chunks, 20,000 messages in one index: a hundred million entries."""
    monkeypatch.setattr(running, "MEBIBYTES", 150)
    outcome = opened(BAGS, bombs.shared_index(tmp_path / "made"), tmp_path)
    assert not outcome.failed, outcome
    assert outcome.seconds < 5


def test_a_bags_own_definition_is_not_parsed(tmp_path: Path) -> None:
    """Its 30 million strings and 3000 levels are ignored: the type is known by its name."""
    put(bombs.foreign_definition(tmp_path / "made"), tmp_path / "input")
    assert len(list(Rosbag(tmp_path / "input" / "b.mcap"))) == 1


def test_four_billion_markers() -> None:
    with pytest.raises(DamagedError, match="markers"):
        MessageDecoder(Topic("/boxes", MARKERS))(bombs.many_markers())
    with pytest.raises(DamagedError, match="bytes"):
        MessageDecoder(Topic("/info", bags.INFO))(bytes(17 * 2**20))


# Texts


def test_aliases_merges_and_depth_are_refused_before_anything_is_built() -> None:
    for text in (bombs.ALIASES, "<<: &a {b: 1}", "[" * 100_000, "- " * 100_000, "{a: " * 50_000):
        door = Door("yaml", lambda _: [], lambda _, t=text: parse_yaml(t))
        outcome = tried(door, Path())
        assert outcome.answer == "refused", outcome
        assert len(outcome.detail) < 300


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 41, "0b_", "!!int ''", "\0", "!!omap [1]"])
def test_numbers_and_tags_that_end_in_foreign_errors(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_yaml(text)


def test_a_date_is_a_text_and_lists_are_written_twice() -> None:
    assert parse_yaml("a: 2011-09-26\nb: 2001-99-99") == {"a": "2011-09-26", "b": "2001-99-99"}
    twice = ["x"]
    assert parse_yaml(yaml_text({"a": twice, "b": twice})) == {"a": ["x"], "b": ["x"]}


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 40 + "]" * 40, "9" * 300, "{"])
def test_json_that_is_deep_or_long(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_json(text)


def test_a_calibration_of_a_giant_image(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    text = (
        "image_width: 30000\nimage_height: 30000\ncamera_matrix: {rows: 3, cols: 3, data: [20000, "
        "0, 15000, 0, 20000, 15000, 0, 0, 1]}\ndistortion_coefficients: {rows: 1, cols: 1, data: "
        "[0.1]}\n"
    )
    file.write_text(text)
    with pytest.raises(CalibrationError, match=r"30000x30000.*at most 50000000 pixels"):
        read_camera_yaml(file)
    camera = intrinsics((500, 0, 320, 0, 500, 240, 0, 0, 1), 640, 480)
    with pytest.raises(CalibrationError, match="coefficients"):
        with_lens(camera, "plumb_bob", [0.1] * 3_000_000)


@pytest.mark.parametrize("stamp", ["1e999999999", "1e308", "9" * 300, "-1e30", "now", "today"])
@pytest.mark.parametrize("name", ["clip/timestamps.txt", "sequences/00/times.txt"])
def test_times_that_no_clock_shows(name: str, stamp: str, tmp_path: Path) -> None:
    door = next(door for door in SOURCES if door.name == "side texts")
    files = next(one for one in door.corpus(tmp_path / "made") if name in one)
    outcome = opened(door, {**files, name: f"{stamp}\n".encode() * 4}, tmp_path)
    assert outcome.answer == "refused", outcome


def test_a_listing_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    door = next(door for door in SOURCES if door.name == "side texts")
    files = next(one for one in door.corpus(tmp_path / "made") if "rgbd_freiburg3/rgb.txt" in one)
    for name in ("../secret.png", "/etc/passwd", "a/../../b.png"):
        listing = f"1.1 {name}\n1.133 rgb/1.133.png\n".encode()
        outcome = opened(door, {**files, "rgbd_freiburg3/rgb.txt": listing}, tmp_path)
        assert outcome.answer == "refused", outcome
        assert "leads out of the folder" in outcome.detail


@pytest.mark.parametrize(
    ("number", "value"), [(0, "200"), (0, "-90"), (1, "1e300"), (2, "1e200"), (5, "1e9")]
)
def test_a_place_that_is_not_on_the_map(number: int, value: str, tmp_path: Path) -> None:
    door = next(door for door in SOURCES if door.name == "OXTS")
    (files,) = door.corpus(tmp_path / "made")
    name = next(name for name in files if name.endswith("oxts/data/0000000001.txt"))
    record = files[name].split()
    record[number] = value.encode()
    put({**files, name: b" ".join(record)}, tmp_path / "input")
    from depth_recog.datasets.kitti.raw import KittiRaw

    drive = KittiRaw(tmp_path / "input" / "2011_09_26")
    with pytest.raises(SourceError, match="no place on a map"):
        drive.truth(1)


def test_a_million_columns(tmp_path: Path) -> None:
    door = next(door for door in SOURCES if door.name == "KITTI calibration")
    (files,) = door.corpus(tmp_path / "made")
    name = next(name for name in files if name.endswith("calib_cam_to_cam.txt"))
    outcome = opened(door, {**files, name: b"P_rect_02: " + b"1 " * 10**6}, tmp_path)
    assert outcome.answer == "refused", outcome
    assert "more than 10000 characters" in outcome.detail or "cannot be read" in outcome.detail


def test_half_a_million_blank_times(tmp_path: Path) -> None:
    """Once quadratic: hours."""
    from depth_recog.datasets.times import filled

    stamps: list[int | None] = [0, *[None] * 300_000, 10**12]
    assert len(filled(stamps, tmp_path)) == len(stamps)


@pytest.mark.parametrize("text", ["<a>" * 3_000_000, "<!ENTITY a 'b'>", "<a/>" * 2])
def test_deep_and_large_xml(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.xml").write_text(text)
    door = Door("xml", lambda _: [], lambda folder: read_tracklets(folder / "t.xml"))
    outcome = tried(door, tmp_path)
    assert outcome.answer == "refused", outcome


def test_a_playlist_is_no_video(tmp_path: Path) -> None:
    from depth_recog.datasets.media.video import Video

    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(SourceError, match="playlists"):
        Video(tmp_path / "a.mp4")


def test_an_unknown_user_as_a_source() -> None:
    from depth_recog.datasets.sources import open_source

    for text in ("~nosuch", "folder:~nosuch/x", "~nosuch/a?bits=12", "rosbag:~nosuch"):
        with pytest.raises(SourceError, match="does not exist"):
            open_source(text)


def test_the_fuzzers_own_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long or much memory, or ends in a foreign error, counts as failed."""

    def slow(_: Path) -> None:
        while True:
            pass

    def large(_: Path) -> None:
        np.ones(2**28, np.uint8)

    def foreign(_: Path) -> None:
        json.loads("{")

    monkeypatch.setattr(running, "SECONDS", 0.1)
    answers = [tried(Door("x", lambda _: [], c), Path()).answer for c in (slow, foreign)]
    monkeypatch.setattr(running, "SECONDS", 60)
    monkeypatch.setattr(running, "MEBIBYTES", 200)
    answers.append(tried(Door("x", lambda _: [], large), Path()).answer)
    assert answers == ["late", "JSONDecodeError", "memory"]
