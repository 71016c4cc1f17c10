# SPDX-License-Identifier: Apache-2.0
"""Loads the network of a directory that `directory.py` describes.

Only the tensors and the known keys of config.json reach transformers: other keys can name code,
kernels, adapters or networks that it would fetch.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from safetensors.torch import load

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.config import known_keys
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.hf.directory import digest_of, read_files, tensor_files
from depth_recog.networks.hf.facts import CONFIG, facts_of, parsed
from depth_recog.networks.weights import Header
from depth_recog.texts import plain

_SURPLUS = 1.2
"""Most parameters of the network, as a share of the numbers in its files: some are shared."""


def load_directory(header: Header, device: torch.device) -> HfDepth:
    """Load the network of a directory.

    Raises:
        WeightsError: its tensors do not fit its config.json, cannot be read, or have changed since
            the header was read.
    """
    folder = header.path
    files = read_files(folder)
    if digest_of(files) != header.sha256:
        raise WeightsError(f"{folder}: its files changed while they were read; load it again")
    facts = facts_of(folder, files)
    config = known_keys(parsed(folder / CONFIG, files[CONFIG]))
    try:
        state = _tensors(files)
        model, found = _model(facts.model_type, config, state)
    except Exception as error:  # transformers raises many types
        reason = plain(" ".join(str(error).split()), 500)
        raise WeightsError(f"{folder}: transformers cannot load it ({reason})") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])[0]
        raise WeightsError(f"{folder}: tensor {missing} is missing; download the directory again")
    for name, values in state.items():
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise WeightsError(f"{folder}: tensor {name} has values that are not finite")
    network = HfDepth(model, facts).eval().requires_grad_(False)
    return network.to(device)


def _tensors(files: dict[str, bytes]) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for name in tensor_files(list(files)):
        part = load(files[name])
        twice = sorted(set(part) & set(state))
        if twice:
            raise ValueError(f"tensor {twice[0]} is in two files")
        state |= part
    return state


def _model(kind: str, values: dict[str, Any], state: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    """The model, and what transformers says of it. Raises many types."""
    # Read when the library is imported, which another part may have done before.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    backbone = values.pop("backbone_config", None)
    if kind == "glpn":
        config: Any = transformers.GLPNConfig(**values)
        network: Any = transformers.GLPNForDepthEstimation
    else:
        if backbone is not None:
            values["backbone_config"] = transformers.Dinov2Config(**backbone)
        config = transformers.DepthAnythingConfig(**values)
        network = transformers.DepthAnythingForDepthEstimation
    with torch.device("meta"):
        needed = sum(p.numel() for p in network(config).parameters())
    there = sum(values.numel() for values in state.values())
    if needed > _SURPLUS * there + 1000:
        raise ValueError(f"{CONFIG} describes {needed} numbers, its files have {there}")
    model, found = network.from_pretrained(
        None,
        config=config,
        state_dict=state,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    return model, found
