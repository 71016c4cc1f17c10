# SPDX-License-Identifier: Apache-2.0
"""Depth networks that people bring: a directory of Hugging Face's transformers.

`config.json`, `*.safetensors` and, where there is one, `preprocessor_config.json` are read from it;
nothing is unpickled, no code of the directory's is run, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.hf.facts import CONFIG, PREPROCESSOR, read_facts
from depth_recog.networks.weights import Header, file_sha256, read_card

CARD = "README.md"
LISTED = "train.sha256"
"""The list of training files in a directory."""


def read_directory(name: str) -> Header:
    """Read and check what a directory says of its model, without its tensors.

    Raises:
        WeightsError: not such a directory, a model that is not known here, or transformers is
            missing.
    """
    folder = Path(name).expanduser().absolute()
    facts = read_facts(folder)
    _need_transformers(folder)
    digest = directory_sha256(folder)
    card = folder / CARD
    # Other people's cards say nothing of a hash, and may have no front matter at all.
    expected = read_card(card).get("sha256") if _is_ours(card) else None
    if expected is not None and expected != digest:
        raise WeightsError(
            f"{folder}: its sha256 is {digest[:12]}..., its card {CARD} says "
            f"{str(expected)[:12]}...: a file is damaged or was exchanged; restore it, or write a "
            "new card"
        )
    architecture = {"transformers": facts.model_type, "disparity": facts.disparity}
    return Header(folder, "depth", architecture, facts.size, facts.unit, digest)


def load_directory(header: Header, device: torch.device) -> tuple[HfDepth, Header]:
    """The network of a directory, ready to run.

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
    except Exception as error:  # whatever a broken directory makes transformers stumble over
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder}: transformers cannot load it ({reason})") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])[0]
        raise WeightsError(f"{folder}: tensor {missing} is missing: fetch the directory again")
    network = HfDepth(model, read_facts(folder)).eval().requires_grad_(False)
    return network.to(device), header


def _is_ours(card: Path) -> bool:
    return card.is_file() and "\nsha256: " in card.read_text(encoding="utf-8", errors="replace")


def directory_sha256(folder: Path) -> str:
    """64 hexadecimal digits: of the list, as sha256sum prints it, of what makes the network.

    Raises:
        WeightsError: a file cannot be read.
    """
    names = [CONFIG, PREPROCESSOR, *(p.name for p in folder.glob("*.safetensors"))]
    lines = [f"{file_sha256(folder / n)}  {n}\n" for n in sorted(names) if (folder / n).is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _need_transformers(folder: Path) -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"{folder}: a model of transformers needs pip install 'depth-recog[hf]'"
        ) from error
