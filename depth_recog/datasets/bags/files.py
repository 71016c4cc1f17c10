# SPDX-License-Identifier: Apache-2.0
"""File names of rosbag2, to recognise a bag without importing its readers."""

from __future__ import annotations

from pathlib import Path

METADATA = "metadata.yaml"
SUFFIXES = (".mcap", ".db3")
ZSTD_SUFFIX = ".zstd"


def storage_suffix(path: Path) -> str:
    """The suffix without .zstd: .mcap or .db3 for a bag's file."""
    return Path(path.name.removesuffix(ZSTD_SUFFIX)).suffix.lower()


def is_bag(path: Path) -> bool:
    """Whether an existing path looks like a bag or one of its storage files."""
    if path.is_dir():
        named = (path / METADATA).is_file()
        return named or any(storage_suffix(file) in SUFFIXES for file in path.iterdir())
    return storage_suffix(path) in SUFFIXES
