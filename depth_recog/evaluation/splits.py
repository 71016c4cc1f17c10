# SPDX-License-Identifier: Apache-2.0
"""Which files are for training, validation and test, and who was trained on what.

A manifest has the layout of `sha256sum`: a hash, two spaces, a path below the data's root. The
three here cover the recordings that CONTRIBUTING.md describes. Weights name what they were trained
on in a file of the same layout beside them, NAME.train.sha256.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from depth_recog.datasets.image_files import IMAGE_SUFFIXES
from depth_recog.errors import ConfigurationError, SourceError, WeightsError
from depth_recog.networks.hf.directory import LISTED
from depth_recog.networks.weights import Header

SPLITS = ("train", "validation", "test")
_FOLDER = Path(__file__).parent / "manifests"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")

Manifest = dict[str, str]
"""sha256 to path."""


def read_manifest(path: Path) -> Manifest:
    """Read a file in the layout of `sha256sum`; lines that begin with # are comments there.

    Raises:
        ConfigurationError: it cannot be read, is empty, or a line is not of that layout.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    if not lines:
        raise ConfigurationError(f"{path}: is empty: restore it, or remove it")
    manifest = {}
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(
                f"{path}, line {number}: not a line of sha256sum (64 digits, two spaces, a path)"
            )
        manifest[match[1]] = match[2]
    return manifest


@cache
def split(name: str) -> Manifest:
    """One of `SPLITS`. Raises ConfigurationError for another name."""
    if name not in SPLITS:
        raise ConfigurationError(f"split {name!r} is unknown: {', '.join(SPLITS)}")
    return read_manifest(_FOLDER / f"{name}.sha256")


def list_of(header: Header) -> Path:
    """Where weights list what they were trained on: beside the file, or in the directory."""
    folder = header.path.is_dir()
    return header.path / LISTED if folder else header.path.with_suffix(".train.sha256")


def trained_on(header: Header) -> Manifest | None:
    """What weights say they were trained on; None where they do not say.

    Raises:
        WeightsError: their list is damaged.
    """
    path = list_of(header)
    if not path.is_file():
        return None
    try:
        return read_manifest(path)
    except ConfigurationError as error:
        raise WeightsError(f"{error}; it lists the training files of {header.path.name}") from error


def sha256_of(file: Path) -> str:
    """64 hexadecimal digits. Raises SourceError."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def examine(files: list[Path | None], headers: list[Header]) -> dict[str, Any]:
    """What the judged frames are to the splits and to the weights.

    Args:
        files: of the judged frames; None for frames that no file holds.
        headers: of all weights that had a part in the answers.

    Returns:
        How many of the frames are in each split, and how many each of the weights was trained on.
        None where that is not known: its files are not listed, or the frames of one of the two lie
        in a file of many (a bag, a video), where only the whole file could be recognised.

    Raises:
        ConfigurationError: frames of the test split are to be judged, and weights were trained on
            that split: a figure that nobody should report.
        WeightsError: a list of training files is damaged.
        SourceError: a file cannot be read.
    """
    known = [file for file in files if file is not None]
    single = all(_is_image(file.name) for file in known)
    hashes = [sha256_of(file) for file in known] if single else []
    test = set(split("test"))
    judges_test = not test.isdisjoint(hashes)
    answer: dict[str, Any] = {name: _count(hashes, split(name)) for name in SPLITS}
    answer["trained_on"] = {}
    for header in headers:
        listed = trained_on(header)
        name = header.path.stem
        answer["trained_on"][name] = _seen(hashes, single, listed)
        if listed is None or not judges_test or test.isdisjoint(listed):
            continue
        seen = sorted(listed[h] for h in test & set(listed))
        raise ConfigurationError(
            f"{name} was trained on {len(seen)} files of the test split ({seen[0]}, ...): a test "
            "figure of it would say nothing. Judge it on other frames (--frames, --split "
            "validation), or train without these files"
        )
    return answer


def _seen(hashes: list[str], single: bool, listed: Manifest | None) -> int | None:
    if listed is None or not single:
        return None
    count = _count(hashes, listed)
    whole = all(_is_image(name) for name in listed.values())
    return count if count or whole or not hashes else None


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _count(hashes: list[str], manifest: Manifest) -> int:
    return sum(h in manifest for h in hashes)


def frames_of(files: list[Path | None], name: str) -> list[int]:
    """Indices of the files that are in a split. Raises ConfigurationError, SourceError."""
    wanted = set(split(name))
    return [i for i, file in enumerate(files) if file is not None and sha256_of(file) in wanted]
