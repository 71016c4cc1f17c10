# SPDX-License-Identifier: Apache-2.0
"""How rosbag2 names its files: enough to tell a bag from other sources."""

from __future__ import annotations

from pathlib import Path

METADATA = "metadata.yaml"
SUFFIXES = (".mcap", ".db3")
ZSTD_SUFFIX = ".zstd"


def storage_suffix(path: Path) -> str:
    """.mcap or .db3 of a bag's file, also of one compressed as .mcap.zstd; else its own."""
    return Path(path.name.removesuffix(ZSTD_SUFFIX)).suffix.lower()


def is_bag(path: Path) -> bool:
    """Whether an existing path looks like a bag, or like one of a bag's files."""
    if path.is_dir():
        named = (path / METADATA).is_file()
        return named or any(storage_suffix(file) in SUFFIXES for file in path.iterdir())
    return storage_suffix(path) in SUFFIXES
