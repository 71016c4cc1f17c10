# SPDX-License-Identifier: Apache-2.0
"""Writes the compact file lists of the splits and of shipped weights.

A list of sha256sum becomes a gzip file with the first 16 digits of each hash: 64 bits recognise a
file, and the list is a tenth as large. What is printed, for the weights' card, is one hash of all
whole hashes: the sha256 of these, sorted, one on each line.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

from depth_recog.evaluation.splits import DIGITS


def read(text: str) -> dict[str, str]:
    """Return whole hash to path of a list; of several paths with one hash the last."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("  ", 1) for line in lines)


def compact(files: dict[str, str]) -> bytes:
    """Return the gzip file of a list; the same list gives the same bytes."""
    text = "".join(f"{one[:DIGITS]}  {path}\n" for one, path in files.items())
    return gzip.compress(text.encode(), mtime=0)


def digest(files: dict[str, str]) -> str:
    """Return the hash of a list's hashes, 64 hexadecimal digits."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(files)).encode()).hexdigest()


def main() -> None:
    """Convert one list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path, help="output of sha256sum, or a run's data.sha256")
    parser.add_argument("out", type=Path, help="NAME.sha256.gz")
    options = parser.parse_args()
    files = read(options.list.read_text(encoding="utf-8"))
    options.out.write_bytes(compact(files))
    print(digest(files))


if __name__ == "__main__":
    main()
