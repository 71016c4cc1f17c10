# SPDX-License-Identifier: Apache-2.0
"""Opening sources by path or kind, and what is refused."""

from pathlib import Path

import pytest

from depth_recog.datasets.sources import READERS, open_source
from depth_recog.errors import CalibrationError, SourceError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rosbag3:x.bag", "unknown kind 'rosbag3' in 'rosbag3:x.bag': write one of kitti_raw"),
        ("/no/such/folder", "/no/such/folder does not exist: check"),
        ("folder:/no/such/folder", "/no/such/folder does not exist: check"),
        ("video:/no/such.mp4", "/no/such.mp4 is not a file: give a video"),
        ("", "is empty: give a path"),
        ("{tmp}", "holds no images: put some"),
        ("{tmp}/notes.txt", r"notes\.txt is neither a video, a bag nor a folder: give"),
        ("{tmp}/one.jpg", r"one\.jpg is a single image: give its folder"),
        ("folder:{tmp}/notes.txt", r"notes\.txt is not a folder: give a folder"),
        ("{tmp}/bad.mp4", r"bad\.mp4 is no video.*convert it"),
    ],
)
def test_open_source_errors(tmp_path: Path, text: str, expected: str) -> None:
    """The message names the input and the remedy, and lists all kinds."""
    if "/" in text.replace("{tmp}", "", 1) and "{tmp}" in text:
        for name in ("notes.txt", "one.jpg", "bad.mp4"):
            (tmp_path / name).write_text("x")
    with pytest.raises(SourceError, match=expected) as caught:
        open_source(text.replace("{tmp}", str(tmp_path)))
    for kind in READERS:
        assert f"{kind}:" in str(caught.value)


def test_open_source_by_kind(clip: Path, film: Path, scenes: Path) -> None:
    """`kind:path` overrides recognition; an existing path may contain a colon."""
    assert open_source(f"folder:{clip}").kind == "folder"
    assert open_source(f"video:{film}").kind == "video"
    with pytest.raises(CalibrationError):
        open_source(f"folder:{scenes}")
    odd = clip.rename(clip.parent / "run:3")
    assert open_source(str(odd)).name == "run:3"


@pytest.mark.parametrize("text", ["synthetic", "synthetic:street?seed=3"])
def test_open_source_synthetic(text: str) -> None:
    assert open_source(text).kind == "synthetic"
