# SPDX-License-Identifier: Apache-2.0
"""Training, validation and test files, and which of them weights were trained on.

A file list has the layout of `sha256sum`: a hash or its first 16 digits, two spaces, a path.
Weights list their training files beside them in NAME.train.sha256 (16 digits; 64 in older lists).
Lists of the package are gzip files (recipes/file_lists.py). The three splits cover the recordings
that CONTRIBUTING.md describes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from depth_recog.datasets.image_files import IMAGE_SUFFIXES
from depth_recog.errors import ConfigurationError, SourceError, WeightsError
from depth_recog.files import open_regular, read_bytes
from depth_recog.limits import TEXT_BYTES
from depth_recog.networks.hf.directory import LISTED
from depth_recog.networks.weights import Header

SPLITS = ("train", "validation", "test")
DIGITS = 16
"""Hexadecimal digits of a hash that recognise a file."""

_FOLDER = Path(__file__).parent / "manifests"
_LINE = re.compile(r"([0-9a-f]{16})(?:[0-9a-f]{48})?  (\S.*)")

FileList = dict[str, str]
"""First `DIGITS` digits of the sha256 to path."""


def read_file_list(path: Path) -> FileList:
    """Read a file list; lines that begin with # are comments.

    Args:
        path: in the layout of `sha256sum`, with whole or shortened hashes; .gz for a gzip file.

    Raises:
        ConfigurationError: it cannot be read, is empty, or a line has another layout.
    """
    try:
        data = read_bytes(path, TEXT_BYTES)
        text = (_unpacked(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    if not text:
        raise ConfigurationError(f"{path}: is empty; restore it, or remove it")
    files = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(
                f"{path}, line {number}: not a line of sha256sum (64 digits, two spaces, a path)"
            )
        files[match[1]] = match[2]
    return files


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        text = file.read(TEXT_BYTES + 1)
    if len(text) > TEXT_BYTES:
        raise ValueError(f"it unpacks to more than {TEXT_BYTES} bytes")
    return text


@cache
def split(name: str) -> FileList:
    """Return the files of one of `SPLITS`.

    Raises:
        ConfigurationError: there is no such split.
    """
    if name not in SPLITS:
        raise ConfigurationError(f"unknown split {name!r}; known: {', '.join(SPLITS)}")
    return read_file_list(_FOLDER / f"{name}.sha256.gz")


def list_of(header: Header) -> Path:
    """Return the path of the weights' list of training files, whether it exists or not."""
    if header.path.is_dir():
        return header.path / LISTED
    compact = header.path.with_suffix(".train.sha256.gz")
    return compact if compact.is_file() else header.path.with_suffix(".train.sha256")


def trained_on(header: Header) -> FileList | None:
    """Return the training files of weights; None where they have no list.

    Raises:
        WeightsError: the list is damaged.
    """
    path = list_of(header)
    if not path.is_file():
        return None
    try:
        return read_file_list(path)
    except ConfigurationError as error:
        raise WeightsError(f"{error}; it lists the training files of {header.path.name}") from error


def sha256_of(file: Path) -> str:
    """Return a file's sha256, 64 hexadecimal digits. Raises SourceError."""
    digest = hashlib.sha256()
    try:
        with os.fdopen(open_regular(file), "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def examine(files: list[Path | None], headers: list[Header]) -> dict[str, Any]:
    """Count the evaluated frames in each split, and those that the weights were trained on.

    Args:
        files: of the evaluated frames; None for frames that are not read from a file.
        headers: of all weights that the method uses.

    Returns:
        Numbers of frames by split, and under "trained_on" by name of the weights. The latter is
        None where it is unknown: there is no list, or frames lie in a file of many frames (a bag, a
        video), of which only the whole can be recognised.

    Raises:
        ConfigurationError: frames of the test split are evaluated, and weights were trained on
            files of that split.
        WeightsError: a list of training files is damaged.
        SourceError: a file cannot be read.
    """
    known = [file for file in files if file is not None]
    single = all(_is_image(file.name) for file in known)
    hashes = _hashes(known) if single else []
    test = set(split("test"))
    answer: dict[str, Any] = {name: _count(hashes, split(name)) for name in SPLITS}
    answer["trained_on"] = {}
    for header in headers:
        listed = trained_on(header)
        name = header.path.stem
        answer["trained_on"][name] = _trained_on(hashes, listed) if single else None
        if listed is None or test.isdisjoint(hashes) or test.isdisjoint(listed):
            continue
        seen = sorted(listed[h] for h in test & set(listed))
        raise ConfigurationError(
            f"{name} was trained on {len(seen)} files of the test split ({seen[0]}, ...), so test "
            "figures would be meaningless; evaluate other frames (--frames, --split validation), "
            "or train without these files"
        )
    return answer


def frames_of(files: list[Path | None], name: str) -> list[int]:
    """Return the indices of the files that belong to a split.

    Raises:
        ConfigurationError: there is no such split.
        SourceError: a file cannot be read.
    """
    wanted = split(name)
    return [i for i, file in enumerate(files) if file is not None and _hashes([file])[0] in wanted]


def _hashes(files: list[Path]) -> list[str]:
    return [sha256_of(file)[:DIGITS] for file in files]


def _trained_on(hashes: list[str], listed: FileList | None) -> int | None:
    if listed is None:
        return None
    count = _count(hashes, listed)
    whole = all(_is_image(name) for name in listed.values())
    return count if count or whole or not hashes else None


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _count(hashes: list[str], files: FileList) -> int:
    return sum(h in files for h in hashes)
