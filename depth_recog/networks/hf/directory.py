# SPDX-License-Identifier: Apache-2.0
"""Loads depth networks from directories of Hugging Face's transformers.

Read are `config.json`, `*.safetensors` and, if present, `preprocessor_config.json`. Nothing is
unpickled or downloaded, and no code from the directory is run.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.facts import CONFIG, PREPROCESSOR, read_facts
from depth_recog.networks.weights import Header, check_digest, file_sha256, read_card

CARD = "README.md"
LISTED = "train.sha256"
"""Name of the list of training files in a directory."""


def read_directory(name: str) -> Header:
    """Read and check a directory without its tensors.

    Raises:
        WeightsError: it is no such directory, its model is not supported, or transformers is
            missing.
    """
    folder = Path(name).expanduser().absolute()
    facts = read_facts(folder)
    if find_spec("transformers") is None:
        raise WeightsError(f"{folder}: models of transformers need pip install 'depth-recog[hf]'")
    digest = directory_sha256(folder)
    card = folder / CARD
    # Cards from elsewhere have no hash, and perhaps no front matter.
    expected = read_card(card).get("sha256") if _is_ours(card) else None
    if expected is not None:
        check_digest(folder, digest, card, str(expected))
    architecture = {"transformers": facts.model_type, "disparity": facts.disparity}
    return Header(folder, "depth", architecture, facts.size, facts.unit, digest)


def _is_ours(card: Path) -> bool:
    return card.is_file() and "\nsha256: " in card.read_text(encoding="utf-8", errors="replace")


def directory_sha256(folder: Path) -> str:
    """Return the sha256 of the list of sha256sum for the files of the network.

    Raises:
        WeightsError: a file cannot be read.
    """
    names = [CONFIG, PREPROCESSOR, *(p.name for p in folder.glob("*.safetensors"))]
    lines = [f"{file_sha256(folder / n)}  {n}\n" for n in sorted(names) if (folder / n).is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
