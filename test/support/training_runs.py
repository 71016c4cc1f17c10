# SPDX-License-Identifier: Apache-2.0
"""For the tests of training: a small street, a network that gives no depth yet, short runs."""

import os
from pathlib import Path

import torch

from depth_recog.cli.options import part_of_source
from depth_recog.datasets.sources import open_source
from depth_recog.networks.weights import save_network
from depth_recog.training.config import TrainingConfig, make_config
from depth_recog.training.data.cache import PseudoLabelNetworks, SourceFrames, choose_frames
from depth_recog.training.data.selection import pseudo_label_networks
from depth_recog.training.initial import initial_network

# The order of sums depends on the number of threads, which the first steps of a blank network show.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

SIZE = (128, 64)
STREET = "synthetic:street?seed=3&frames=16&width=128&height=64"


def blank_weights(folder: Path) -> Path:
    """Write depth weights of a blank network: about 15 m everywhere."""
    torch.manual_seed(0)
    blank = initial_network("masks-street", "depth")
    path = folder / "blank.safetensors"
    save_network(blank.network, path, "depth", blank.architecture, SIZE, "metres")
    return path


def quick_config(weights: Path, **changes: object) -> TrainingConfig:
    """A run of seconds whose loss has the photometric error and the smoothness only."""
    values = {
        "start": {"depth": str(weights)},
        "size": SIZE,
        "loss": {"exact": 0, "sky": 0, "contact": 0},
        "steps": 30,
        "batch": 4,
        "rate": 2e-3,
        "average": 0.8,
        "workers": 0,
        "device": "cpu",
        "validation": {"every": 1000, "frames": 4},
    }
    return make_config(values | changes, "test")


def chosen(text: str) -> SourceFrames:
    """The frames of SOURCE[@A:B], as the verb opens them."""
    source, frames = part_of_source(text)
    return choose_frames(text, source, open_source(source), frames)


def networks_of(config: TrainingConfig) -> PseudoLabelNetworks:
    """The networks that annotate frames while they are prepared."""
    initial = initial_network(config.start.depth, "depth")
    return pseudo_label_networks(config, initial, torch.device("cpu"))
