# SPDX-License-Identifier: Apache-2.0
"""The shipped depth weights with an untrained head for the standard deviation, and without one."""

from pathlib import Path

import torch

from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.files import load_network, save_network
from depth_recog.training.initial import initial_network, with_deviation


def with_head(folder: Path, spread: float = 0.4) -> Path:
    """Write the shipped depth weights with a head whose deviation differs from pixel to pixel.

    Args:
        folder: an existing folder.
        spread: of the last layer's weights; 0: the deviation is the same everywhere.
    """
    made = with_deviation(initial_network("depth-street", "depth"))
    head = made.network.deviation
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        head.last.weight.normal_(0, spread)
    path = folder / "with_head.safetensors"
    save_network(made.network, path, "depth", made.architecture, made.size, "metres")
    return path


def without_head(folder: Path) -> Path:
    """Write the shipped depth weights without a head, whether they have one or not."""
    network, header = load_network("depth-street", "depth")
    rest = {k: v for k, v in header.architecture.items() if k != "deviation"}
    plain = DepthNetwork(**rest)
    plain.load_state_dict(network.state_dict(), strict=False)
    path = folder / "without_head.safetensors"
    save_network(plain, path, "depth", rest, header.size, header.unit)
    return path
