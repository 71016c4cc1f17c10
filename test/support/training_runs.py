# SPDX-License-Identifier: Apache-2.0
"""What the tests of training share: a small street, a start that knows no depth, a short run."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from depth_recog.cli.options import part_of_source
from depth_recog.datasets.sources import open_source
from depth_recog.networks.weights import save_network
from depth_recog.training.cache import open_part
from depth_recog.training.config import Config, make_config
from depth_recog.training.data import anchor_eyes
from depth_recog.training.learner import start_network

# Two threads add in another order than one; a blank network's first steps make that visible.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

SIZE = (128, 64)
STREET = "synthetic:street?seed=3&frames=16&width=128&height=64"


def blank_start(folder: Path) -> Path:
    """Depth weights that know nothing: about 15 m everywhere."""
    torch.manual_seed(0)
    start = start_network("masks-street", "depth")
    path = folder / "blank.safetensors"
    save_network(start.network, path, "depth", start.architecture, SIZE, "metres")
    return path


def quick(start: Path, **changes: object) -> Config:
    """A run of seconds that has nothing but the images and the motion to learn from."""
    values = {
        "start": {"depth": str(start)},
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


def part(text: str):
    """A recording as the verb opens it."""
    source, frames = part_of_source(text)
    return open_part(text, source, open_source(source), frames)


def eyes(config: Config):
    """The networks that look at frames while they are prepared."""
    return anchor_eyes(config, start_network(config.start.depth, "depth"), torch.device("cpu"))


def with_images(frames, images: np.ndarray):
    """The same recording with other pictures."""
    return replace(frames, images=images)
