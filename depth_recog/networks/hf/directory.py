# SPDX-License-Identifier: Apache-2.0
"""Loads depth networks from directories of Hugging Face's transformers.

Read are `config.json`, `*.safetensors` and, if present, `preprocessor_config.json`. Nothing is
unpickled or downloaded, and no code from the directory is run.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.depth import HfDepth
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


def load_directory(header: Header, device: torch.device) -> tuple[HfDepth, Header]:
    """Load the network of a directory.

    Raises:
        WeightsError: its tensors do not fit its config.json, or cannot be read.
    """
    folder = header.path
    from transformers import AutoModelForDepthEstimation
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, found = AutoModelForDepthEstimation.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises many types
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder}: transformers cannot load it ({reason})") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])[0]
        raise WeightsError(f"{folder}: tensor {missing} is missing; download the directory again")
    network = HfDepth(model, read_facts(folder)).eval().requires_grad_(False)
    return network.to(device), header


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
