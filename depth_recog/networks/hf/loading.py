# SPDX-License-Identifier: Apache-2.0
"""Loads the network of a directory that `directory.py` describes."""

from __future__ import annotations

import torch

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.hf.facts import read_facts
from depth_recog.networks.weights import Header


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
