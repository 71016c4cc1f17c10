# SPDX-License-Identifier: Apache-2.0
"""For the tests of training: a small street, a network that gives no depth yet, short runs."""

import os
from pathlib import Path

import cv2
import torch
from camera_files import write_camera_yaml

from depth_recog.datasets.sources import open_source
from depth_recog.networks.own.files import save_network
from depth_recog.training.config import TrainingConfig, make_config
from depth_recog.training.data.batches import TripletBatch
from depth_recog.training.data.cache import PseudoLabelNetworks
from depth_recog.training.data.covers import COLUMNS
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
        "licence": "none: drawn by computation",
    }
    return make_config(values | changes, "test")


def image_folder(folder: Path, count: int) -> str:
    """Write frames of `STREET` as a source of image files, without ground truth."""
    folder.mkdir(exist_ok=True)
    street = open_source(STREET)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), street[i].image[..., ::-1])
    write_camera_yaml(folder / "camera.yaml", street[0].camera)
    return str(folder)


def batch_of(frames: torch.Tensor, **known: torch.Tensor) -> TripletBatch:
    """A batch of (B, 3, 3, H, W) uint8 frames: nothing masked or flipped, the camera at rest."""
    count, _, _, *size = frames.shape
    values = {
        "masked": torch.zeros(count, 2, 2, *size, dtype=torch.bool),
        "labels": torch.zeros(count, 1, *size, dtype=torch.uint8),
        "intrinsics": torch.eye(3).expand(count, 3, 3),
        "motions": torch.eye(4).expand(count, 2, 4, 4),
        "truth": torch.full((count, 1, *size), torch.nan),
        "anchor": torch.full((count, 1, *size), 0.2),
        "colours": torch.ones(count, 4),
        "plain": torch.zeros(count, 0, dtype=torch.uint8),
        "mirror": torch.eye(4).expand(count, 4, 4),
        "points": torch.zeros(count, 1, 3),
        "weights": torch.zeros(count, 1),
        "covers": torch.zeros(count, COLUMNS),
        "teacher": torch.zeros(count, 0, *size),
    }
    return TripletBatch(frames, **(values | known))


def networks_of(config: TrainingConfig) -> PseudoLabelNetworks:
    """The networks that annotate frames while they are prepared."""
    initial = initial_network(config.start.depth, "depth")
    return pseudo_label_networks(config, initial, torch.device("cpu"))
