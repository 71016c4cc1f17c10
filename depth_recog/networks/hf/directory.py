# SPDX-License-Identifier: Apache-2.0
"""Loads depth networks from directories of Hugging Face's transformers.

Read are `config.json`, `*.safetensors` and, if present, `preprocessor_config.json`. Nothing is
unpickled or downloaded, and no code from the directory is run. What is loaded has the hash.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from depth_recog.errors import WeightsError
from depth_recog.files import read_bytes
from depth_recog.limits import DIRECTORY_BYTES, DOCUMENT_BYTES
from depth_recog.networks.hf.facts import CONFIG, PREPROCESSOR, read_facts
from depth_recog.networks.hf.hub import folder_of
from depth_recog.networks.weights import Header, check_digest, file_sha256, read_card

CARD = "README.md"
_PART = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
LISTED = "train.sha256"
"""Name of the list of training files in a directory."""


def read_directory(name: str) -> Header:
    """Read and check a directory without its tensors.

    Raises:
        WeightsError: it is no such directory, its model is not supported, or transformers is
            missing.
    """
    folder = folder_of(name).absolute()
    facts = read_facts(folder)
    if find_spec("transformers") is None:
        raise WeightsError(f"{folder}: models of transformers need pip install 'depth-recog[hf]'")
    digest = directory_sha256(folder)
    card = folder / CARD
    # Cards from elsewhere have no hash, and perhaps no front matter.
    expected = read_card(card).get("sha256") if _is_ours(card) else None
    if expected is not None:
        check_digest(folder, digest, card, str(expected))
    kind = {"disparity": facts.disparity, "affine": facts.affine}
    architecture = {"transformers": facts.model_type, **kind}
    return Header(folder, "depth", architecture, facts.size, facts.unit, digest)


def _is_ours(card: Path) -> bool:
    try:
        return b"\nsha256: " in read_bytes(card, DOCUMENT_BYTES)
    except OSError:
        return False


def directory_sha256(folder: Path) -> str:
    """Return the sha256 of the list of sha256sum for the files of the network.

    Raises:
        WeightsError: a file cannot be read.
    """
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in _names(folder)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of a network's files by name. Raises WeightsError."""
    found, left = {}, DIRECTORY_BYTES
    for name in _names(folder):
        try:
            found[name] = read_bytes(folder / name, left)
        except OSError as error:
            raise WeightsError(f"{folder / name}: cannot be read ({error.strerror})") from error
        left -= len(found[name])
    return found


def digest_of(files: Mapping[str, bytes]) -> str:
    """What `directory_sha256` returns for files of this content."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def tensor_files(names: list[str]) -> list[str]:
    """The files with the tensors: model.safetensors, or its numbered parts.

    The parts' index is not read: it could name files elsewhere, which no hash covers.
    """
    parts = sorted(name for name in names if _PART.fullmatch(name))
    return ["model.safetensors"] if "model.safetensors" in names else parts


def _names(folder: Path) -> list[str]:
    names = [CONFIG, PREPROCESSOR, *(p.name for p in folder.glob("*.safetensors"))]
    return sorted(name for name in names if os.path.isfile(folder / name))
