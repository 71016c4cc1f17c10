# SPDX-License-Identifier: Apache-2.0
"""Splits: no file is in two of them, and weights trained on test files are refused."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from constructed import write_recording
from kitti_files import real

from depth_recog.cli.main import main
from depth_recog.errors import ConfigurationError, SourceError, WeightsError
from depth_recog.evaluation import splits
from depth_recog.networks.weights import SHIPPED, read_header
from recipes import file_lists

DRIVE = "kitti_raw/2011_09_26/2011_09_26_drive_0005_sync"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_splits_are_disjoint() -> None:
    for a, b in combinations(splits.SPLITS, 2):
        first, second = splits.split(a), splits.split(b)
        assert first
        assert not first.keys() & second.keys(), (a, b)
        assert not set(first.values()) & set(second.values()), (a, b)


def test_neighbours_of_test_frames_are_in_no_training() -> None:
    """Frames a tenth of a second apart are nearly the same image."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for name in splits.SPLITS:
        for path in splits.split(name).values():
            folder, _, file = path.rpartition("/")
            digits = "".join(c for c in file.split(".")[0] if c.isdigit())
            numbers.setdefault((folder, name), []).append(int(digits))
    for folder in {f for f, _ in numbers}:
        train, test = (set(numbers.get((folder, n), ())) for n in ("train", "test"))
        if train and test:
            assert min(test) - max(train) > 20 or min(train) - max(test) > 20


@pytest.mark.data
@pytest.mark.parametrize("name", splits.SPLITS)
def test_split_lists_match_the_real_files(name: str) -> None:
    data = real(DRIVE).parents[2]
    missing = 0
    for digest, path in splits.split(name).items():
        file = data / path
        missing += not file.is_file()
        assert not file.is_file() or sha256(file).startswith(digest), path
    assert missing == 0


@pytest.mark.data
def test_every_image_of_the_recordings_is_in_a_split() -> None:
    drive = real(DRIVE)
    listed = {p for name in splits.SPLITS for p in splits.split(name).values()}
    images = {
        p.relative_to(drive.parents[2]).as_posix() for p in (drive / "image_02" / "data").iterdir()
    }
    assert images <= listed


def test_shipped_weights_were_not_trained_on_the_test_split() -> None:
    for file in SHIPPED.glob("*.safetensors"):
        listed = splits.trained_on(read_header(file))
        assert listed, f"{file.name} does not say what it was trained on"
        assert not listed.keys() & splits.split("test").keys()
        assert not listed.keys() & splits.split("validation").keys()


@pytest.mark.parametrize(
    "line", ["", "abc  file", "g" * 64 + "  file", "a" * 64 + " file", "A" * 64 + "  file"]
)
def test_a_damaged_list(tmp_path: Path, line: str) -> None:
    file = tmp_path / "x.sha256"
    file.write_text(f"{'a' * 64}  fine name.png\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"x\.sha256, line 2"):
        splits.read_file_list(file)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.sha256"
    file.write_bytes(b"\xff\xfe\x00")
    shutil.copy(file, tmp_path / "x.sha256.gz")
    for name in ("x.sha256", "x.sha256.gz", "missing"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            splits.read_file_list(tmp_path / name)


def test_a_compact_list_has_the_same_files(tmp_path: Path) -> None:
    text = "".join(f"{sha256(file)}  {file.name}\n" for file in SHIPPED.iterdir())
    (tmp_path / "x.sha256").write_text("# a comment\n" + text)
    listed = file_lists.read((tmp_path / "x.sha256").read_text())
    (tmp_path / "x.sha256.gz").write_bytes(file_lists.compact(listed))
    whole, short = (splits.read_file_list(tmp_path / f"x.sha256{end}") for end in ("", ".gz"))
    assert whole == short
    assert sorted(whole.values()) == sorted(file.name for file in SHIPPED.iterdir())
    assert file_lists.digest(listed) == file_lists.digest(dict(reversed(listed.items())))


def test_an_unknown_split_and_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holdout.*train, validation, test"):
        splits.split("holdout")
    with pytest.raises(SourceError, match="cannot be read"):
        splits.sha256_of(tmp_path / "gone.png")


# On a recording of six frames


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return write_recording(tmp_path_factory.mktemp("data") / "room", frames=6)


def image(recording: Path, index: int) -> Path:
    return recording / f"frame-{index:06d}.color.png"


def lines(*files: Path) -> str:
    return "".join(f"{sha256(f)}  {f.name}\n" for f in files)


@pytest.fixture
def recording(room: Path, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """Frames 0 and 1 are in the training split, 2 and 3 in validation, 4 and 5 in test."""
    for name, first in zip(splits.SPLITS, (0, 2, 4), strict=True):
        listed = file_lists.read(lines(image(room, first), image(room, first + 1)))
        (tmp_path / f"{name}.sha256.gz").write_bytes(file_lists.compact(listed))
    monkeypatch.setattr(splits, "_FOLDER", tmp_path)
    splits.split.cache_clear()
    yield room
    splits.split.cache_clear()


def weights(tmp_path: Path, listed: str | None) -> Path:
    """The shipped depth network under another name, with a list of training files or none."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(SHIPPED / "depth-street.safetensors", folder / "mine.safetensors")
    if listed is not None:
        (folder / "mine.train.sha256").write_text(listed)
    return folder / "mine.safetensors"


def evaluated(recording: Path, own: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    out = own.with_name("out.json")
    command = ["evaluate", str(recording), "--json", str(out), *arguments, "--crop", "none"]
    if not (recording / "run.json").is_file():  # a run has its own
        command += ["--weights", str(own), "--device", "cpu"]
    status = main(command)
    return status, json.loads(out.read_text())["frames"]["splits"] if status == 0 else {}


@pytest.mark.parametrize("choice", [["--split", "test"], ["--frames", "3:5"], []])
def test_weights_trained_on_test_files_are_refused(
    recording: Path, tmp_path: Path, capsys, choice: list[str]
) -> None:
    """Frame 5 of the split was trained on; frame 4 is evaluated."""
    own = weights(tmp_path, lines(image(recording, 0), image(recording, 5)))
    status, _ = evaluated(recording, own, *choice)
    assert status == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert "mine was trained on 1 files of the test split (frame-000005.color.png" in line
    assert "--split validation" in line


@pytest.mark.parametrize(
    ("choice", "counts"),
    [
        (["--split", "validation"], {"train": 0, "validation": 2, "test": 0, "mine": 1}),
        (["--frames", ":4"], {"train": 2, "validation": 2, "test": 0, "mine": 2}),
    ],
)
def test_training_files_among_other_frames_are_counted(
    recording: Path, tmp_path: Path, choice: list[str], counts: dict[str, int], capsys
) -> None:
    own = weights(tmp_path, lines(*(image(recording, i) for i in (0, 3, 5))))
    status, found = evaluated(recording, own, *choice)
    assert status == 0
    assert {k: found[k] for k in splits.SPLITS} | {"mine": found["trained_on"]["mine"]} == counts
    assert f"mine was TRAINED ON {counts['mine']} of these frames" in capsys.readouterr().out


def test_weights_without_a_list_lead_to_a_warning(recording: Path, tmp_path: Path, capsys) -> None:
    status, found = evaluated(recording, weights(tmp_path, None), "--split", "test")
    assert status == 0
    assert found["test"] == 2
    assert found["trained_on"] == {"mine": None, "masks-street": 0}
    assert "mine: unknown whether it was trained on these frames" in capsys.readouterr().out


def test_a_damaged_list_is_an_error(recording: Path, tmp_path: Path) -> None:
    own = weights(tmp_path, "no list at all\n")
    with pytest.raises(WeightsError, match=r"mine.train.sha256, line 1.*mine.safetensors"):
        splits.trained_on(read_header(own))
    assert evaluated(recording, own)[0] == 1


def test_the_weights_of_a_run_are_checked_too(recording: Path, tmp_path: Path, capsys) -> None:
    """A run on test frames is refused; weights that are gone lead to a warning."""
    own = weights(tmp_path, lines(image(recording, 4)))
    out = tmp_path / "out"
    run = ["run", str(recording), "--out", str(out), "--weights", str(own), "--device", "cpu"]
    assert main(run) == 0
    capsys.readouterr()
    assert evaluated(out, own, "--split", "test")[0] == 1
    assert "mine was trained on 1 files" in capsys.readouterr().err
    gone = own.rename(own.with_name("other.safetensors"))
    status, found = evaluated(out, gone, "--split", "test")
    assert status == 0
    assert found["trained_on"] == {"mine": None, "masks-street": 0}


def test_equal_frames_are_counted_each(recording: Path, tmp_path: Path) -> None:
    """A camera that stands still may write the same file twice."""
    found = splits.examine([image(recording, 4)] * 3 + [None], [])
    assert (found["test"], found["train"]) == (3, 0)


@pytest.mark.data
def test_the_real_test_split_through_the_command(tmp_path: Path, capsys) -> None:
    drive = real(DRIVE)
    test = drive / "image_02" / "data" / "0000000150.jpg"
    own = weights(tmp_path, lines(test))
    status, _ = evaluated(drive, own, "--frames", "120:121")
    assert status == 1
    assert "0000000150.jpg" in capsys.readouterr().err
    status, found = evaluated(drive, own, "--frames", "80:82")
    assert status == 0
    assert found["validation"] == 2


def test_frames_of_a_bag_cannot_be_recognised(recording: Path, tmp_path: Path) -> None:
    """The hash of a file of many frames recognises none of its frames."""
    own = read_header(weights(tmp_path, lines(image(recording, 0))))
    bag = tmp_path / "drive.mcap"
    bag.write_bytes(b"a bag")
    assert splits.examine([bag, bag], [own])["trained_on"] == {"mine": None}
    listed = own.path.with_suffix(".train.sha256")
    listed.write_text(lines(image(recording, 0), bag))
    assert splits.examine([image(recording, 2)], [own])["trained_on"] == {"mine": None}
    assert splits.examine([image(recording, 0)], [own])["trained_on"] == {"mine": 1}


def test_an_empty_list_is_refused(recording: Path, tmp_path: Path) -> None:
    own = read_header(weights(tmp_path, ""))
    with pytest.raises(WeightsError, match="is empty"):
        splits.examine([image(recording, 0)], [own])
    own.path.with_suffix(".train.sha256").write_text("# drawn pictures alone\n")
    assert splits.examine([image(recording, 0)], [own])["trained_on"] == {"mine": 0}
