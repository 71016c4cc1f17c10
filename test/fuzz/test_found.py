# SPDX-License-Identifier: Apache-2.0
"""What the fuzzer has found: each input that once ended otherwise, as the change that made it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rosbags")
pytest.importorskip("rclpy", reason="the sections of parameter files are the nodes'")
pytest.importorskip("transformers")

import bags
from fuzz import motion, networks, sources
from fuzz.mutations import Files
from fuzz.running import put, tried

DOORS = {door.name: door for door in (*sources.DOORS, *motion.DOORS, *networks.DOORS)}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def replaced(name: str, old: str, new: str) -> Callable[[Path], Files]:
    """An input of the corpus of `name` with one text in place of another, wherever it occurs."""

    def make(folder: Path) -> Files:
        for files in DOORS[name].corpus(folder):
            changed = {n: data.replace(old.encode(), new.encode()) for n, data in files.items()}
            if changed != files:
                return changed
        raise AssertionError(f"{old!r} is nowhere in {name}")

    return make


def chunk_of_any_size(folder: Path) -> Files:
    """Without a summary, and with a chunk of 2^63 bytes."""
    folder.mkdir(parents=True)
    path = bags.write_mcap(folder / "b.mcap", bags.serialised(bags.calibrated(1)))
    data = path.read_bytes()
    at = data.index(b"zstd") + 4
    return {"b.mcap": data[:at] + (2**63).to_bytes(8, "little") + data[at + 8 : -40]}


def damaged_calibrations(folder: Path) -> Files:
    """Every CameraInfo is too short for its stamp."""
    rows = [
        (topic, kind, time, data[:6] if kind == bags.INFO else data, text)
        for topic, kind, time, data, text in bags.serialised(bags.calibrated(2))
    ]
    folder.mkdir(parents=True)
    return {"b.mcap": bags.write_mcap(folder / "b.mcap", rows).read_bytes()}


def input_without_a_name(folder: Path) -> Files:
    """A graph whose input is named by bytes that are no UTF-8."""
    files = DOORS["ONNX graphs with YAML"].corpus(folder)[0]
    return {**files, "m.onnx": files["m.onnx"].replace(b"image", b"\xff\xfe\xfd\xfc\xfb")}


FOUND: dict[str, tuple[str, Callable[[Path], Files]]] = {
    "chunk of any size": ("bags, mcap", chunk_of_any_size),
    "damaged calibrations": ("bags, mcap", damaged_calibrations),
    "input without a name": ("ONNX graphs with YAML", input_without_a_name),
    "digits of a track": (
        "tables of Virtual KITTI 2",
        replaced("tables of Virtual KITTI 2", "0 Car a b", "9" * 5000 + " Car a b"),
    ),
    "a time that is no number": (
        "motion of the robot",
        replaced("motion of the robot", "\n0.3,", "\nnan,"),
    ),
    "a time that overflows": (
        "motion of the robot",
        replaced("motion of the robot", "\n0.3,", "\n1e308,"),
    ),
    "a row beyond its header": (
        "motion of the robot",
        replaced("motion of the robot", "\n0.0,", "\n0.0,1,2,3,4,5,"),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_a_result_or_an_error_of_ours_now(name: str, tmp_path: Path) -> None:
    door, make = FOUND[name]
    put(make(tmp_path / "made"), tmp_path / "input")
    outcome = tried(DOORS[door], tmp_path / "input")
    assert not outcome.failed, outcome
