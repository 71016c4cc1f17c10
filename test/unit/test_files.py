# SPDX-License-Identifier: Apache-2.0
"""Files: read within limits and once, written whole and without following links; foreign text."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from depth_recog import limits
from depth_recog.errors import DepthRecogError, OutputError, describe
from depth_recog.evaluation.run_writer import RunWriter
from depth_recog.files import create, inside, read_bytes, read_lines, user_path, write_whole
from depth_recog.texts import plain, shown


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """In a folder that others can write, NAME.partial may lead to any of the user's files."""
    target = tmp_path / "mine"
    target.write_text("precious")
    (tmp_path / "out.partial").symlink_to(target)
    write_whole(tmp_path / "out", lambda path: path.write_text("new"))
    assert (tmp_path / "out").read_text() == "new"
    assert target.read_text() == "precious"
    with pytest.raises(FileExistsError):
        create(tmp_path / "out.partial")


def test_the_name_of_a_temporary_file_cannot_be_foreseen(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        write_whole(tmp_path / "out", lambda path: (names.append(path.name), path.write_text("")))
    assert len(set(names)) == 2
    write_whole(tmp_path / ("n" * 250), lambda path: path.write_text("x"))
    assert sorted(p.name[:3] for p in tmp_path.iterdir()) == ["nnn", "out"]


@pytest.mark.parametrize("mode", [0o666, 0o600])
def test_the_umask_counts(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "out", lambda path: path.write_text("x"), mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode & ~0o027


def test_a_run_does_not_write_through_links(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "poses.txt").symlink_to(target)
    RunWriter(out).close()
    assert target.read_text() == "precious"
    assert not (out / "poses.txt").is_symlink()


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(11))
    for name, words in (("pipe", "regular"), ("large", "11 bytes"), (".", "regular")):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            read_bytes(tmp_path / name, 10)
        assert words in str(caught.value.strerror)
    with pytest.raises(OSError, match="zero byte"):
        read_bytes(Path("a\0b"), 10)
    for most in (11, 2**50):  # the memory is that of the file
        assert read_bytes(tmp_path / "large", most) == bytes(11)


def test_lines_are_few_and_short(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1\r\n2\n\n3")
    assert read_lines(file) == ["1", "2", "", "3"]
    file.write_text("1\n" + "2" * 10_001)
    with pytest.raises(ValueError, match="line 2 has more than 10000"):
        read_lines(file)
    file.write_text("2" * 10_001 + "\n1")
    with pytest.raises(ValueError, match="line 1 has more than 10000"):
        read_lines(file)
    file.write_text("\n" * (limits.LINES + 1))
    with pytest.raises(ValueError, match="more than 1000000 lines"):
        read_lines(file)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..", "", "a\0b", "..\\a"])
def test_a_name_that_leads_out(name: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        inside(Path("/data"), name)


def test_a_name_inside() -> None:
    assert inside(Path("/data"), "rgb/1.5.png") == Path("/data/rgb/1.5.png")
    assert user_path("~nosuch/x") == Path("~nosuch/x")


FOREIGN = {
    "long": "A" * 10**6,
    "escape": "\x1b[2J",
    "many": ["x" * 10**5] * 1000,
    "deep": {"a": [[[[[1]]]]]},
    "huge": 10**5000,
    "surrogate": "\ud800",
    "bytes": b"\0" * 999,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_value_in_a_message(kind: str) -> None:
    text = shown(FOREIGN[kind])
    assert len(text) <= 2 * limits.SHOWN + 3
    assert text.isprintable()
    assert text.encode()


def test_an_errors_text_is_short_and_plain() -> None:
    for error in (DepthRecogError("\x1b[2J" + "x" * 10**6 + " do this"), OutputError("\u202e")):
        assert len(str(error)) < limits.MESSAGE_CHARACTERS + 100
        assert str(error).isprintable()
    assert str(DepthRecogError("x" * 10**6 + " do this")).endswith("do this")
    assert describe(ValueError("\n\x07")).isprintable()
    assert plain("a\nb\x07", keep="\n") == "a\nb\\x07"
