# SPDX-License-Identifier: Apache-2.0
"""File names of rosbag2, to recognise a bag without importing its readers."""

from __future__ import annotations

import os
from pathlib import Path

from depth_recog.files import open_regular

METADATA = "metadata.yaml"
ASSUMED = "depth_recog_assumed_camera"
"""Key of metadata.yaml's custom data: the camera_info is a guess, and how it was made."""
SUFFIXES = (".mcap", ".db3")
ZSTD_SUFFIX = ".zstd"


def storage_suffix(path: Path) -> str:
    """The suffix without .zstd: .mcap or .db3 for a bag's file."""
    return Path(path.name.removesuffix(ZSTD_SUFFIX)).suffix.lower()


def is_ros1_bag(path: Path) -> bool:
    """Whether a file is a ROS 1 bag, or a folder holds such files only."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file() and file.name[0] != "."]
        return any(file.suffix == ".bag" for file in files) and not is_bag(path)
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read(7) == b"#ROSBAG"
    except OSError:
        return False


def ros1_text(path: Path) -> str:
    """What to do with a ROS 1 bag."""
    target = path.with_suffix("") if path.suffix else path / "converted"
    return (
        f"{path} is a ROS 1 bag, which is not read: convert it with rosbags-convert --src {path} "
        f"--dst {target} (pip install rosbags)"
    )


def is_bag(path: Path) -> bool:
    """Whether an existing path looks like a bag or one of its storage files."""
    if path.is_dir():
        named = (path / METADATA).is_file()
        return named or any(storage_suffix(file) in SUFFIXES for file in path.iterdir())
    return storage_suffix(path) in SUFFIXES
