# SPDX-License-Identifier: Apache-2.0
"""From a recording to a weights file of masks, as docs/training.md says: command by command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kitti_files import real

from depth_recog.datasets.sources import open_source
from depth_recog.networks.weights import load_network, read_card
from depth_recog.training import checkpoint
from recipes.clip import Clip
from recipes.masks import class_weights, make_batch, soft_cross_entropy, wanted

STREET = "synthetic:street?seed=5&frames=2&width=160&height=64"


def command(module: str, *arguments: object, fails: bool = False) -> str:
    """Run a module as a command; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"depth_recog.training.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr if fails else done.stdout


def clip(size: tuple[int, int] = (40, 24), names: tuple[int, ...] = (0, 13)) -> Clip:
    """Two frames whose left half is `names[0]`, the right half `names[1]`, in colour and truth."""
    width, height = size
    images = np.zeros((2, height, width, 3), np.uint8)
    images[:, :, width // 2 :] = 255
    labels = np.full((2, height, width), names[0], np.uint8)
    labels[:, :, width // 2 :] = names[1]
    soft = (labels[:, ::2, ::2, None] == np.arange(19)) * np.uint8(255)
    poses = np.full((2, 4, 4), np.nan)
    return Clip("halves", images, labels, np.eye(3), poses, None, soft)


def test_a_view_shows_the_same_place_in_image_and_probabilities() -> None:
    rng = np.random.default_rng(0)
    images, targets = make_batch(rng, [clip()], [(0, 0)] * 30, (64, 32))
    assert images.shape == (30, 3, 32, 64)
    assert targets.shape == (30, 19, 32, 64)
    torch.testing.assert_close(targets.sum(1), torch.ones(30, 32, 64), atol=0.01, rtol=0)
    # A pixel's colour is its probability of being a car, but for the blur along the middle.
    difference = (images[:, 0] - targets[:, 13]).abs()
    assert (difference > 0.05).float().mean() < 0.1
    left = targets[:, 13, :, 0].mean(1)
    assert {round(v) for v in left.tolist()} == {0, 1}, "flipped ones and others"


def test_rare_classes_count_more_within_bounds() -> None:
    pixels = clip((100, 40), (0, 0))
    soft = pixels.probabilities
    assert soft is not None
    soft[:, :2, :10] = 0
    soft[:, :2, :10, 11] = 255
    weights = class_weights([pixels])
    assert weights.shape == (19,)
    assert 0.4 <= weights[0] < 1 < weights[11] <= weights[12] == 3


def test_without_probabilities_the_labels_are_certain() -> None:
    bare = clip()
    bare.labels[0, :2] = 255
    bare = Clip(bare.name, bare.images, bare.labels, bare.intrinsics, bare.poses, None, None)
    target = wanted(bare, 0)
    assert target.shape == (24, 40, 19)
    assert not target[:2].any()
    assert (target[2:].sum(2) == 255).all()
    assert (target[2:].argmax(2) == bare.labels[0, 2:]).all()
    assert class_weights([bare]).shape == (19,)


def test_the_loss_is_the_mean_cross_entropy_weighted_by_class() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(2, 4, 3, 5, generator=generator)
    chances = torch.randn(2, 4, 3, 5, generator=generator).softmax(1)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    top = bottom = 0.0
    for b in range(2):
        for v in range(3):
            for u in range(5):
                logs = scores[b, :, v, u].log_softmax(0)
                for c in range(4):
                    share = float(chances[b, c, v, u] * weights[c])
                    top, bottom = top - share * float(logs[c]), bottom + share
    assert float(soft_cross_entropy(scores, chances, weights)) == pytest.approx(top / bottom)


@pytest.mark.data
def test_a_recording_becomes_weights(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install ai-edge-litert")
    model = next(real("weights").glob("deeplab_mobilenet_edgetpu*.tflite"))
    drive = real("kitti_raw/2011_09_26/2011_09_26_drive_0005_sync")
    for teach in ("soft", "vote"):
        out = tmp_path / f"{teach}.npz"
        options = ("--size", 416, 128, "--frames", "1:", "--every", 60, "--out", out)
        command("prepare", drive, "--teacher", model, "--teach", teach, *options)
    soft, vote = Clip.load(tmp_path / "soft.npz"), Clip.load(tmp_path / "vote.npz")
    assert soft.probabilities is not None
    assert soft.probabilities.shape == (3, 64, 208, 19)
    assert vote.probabilities is None
    assert (soft.labels == vote.labels).mean() > 0.85
    out = tmp_path / "masks.pt"
    said = command(
        "masks", tmp_path / "soft.npz:0:2", "--teacher", model, "--out", out, "--steps", 2,
        "--batch", 1, "--threads", 1, "--rate", 1e-6, "--validate", tmp_path / "vote.npz:2:3",
    )  # fmt: skip
    figures = json.loads(said.splitlines()[-1].removeprefix("2 "))
    assert set(figures) == {"vote, frames 2 to 2, 640x192", "vote, frames 2 to 2, 416x128"}
    command("calibrate", out, tmp_path / "vote.npz:2:3")
    state = checkpoint.load(out)
    facts = tmp_path / "facts.yaml"
    facts.write_text("licence: none\n", encoding="utf-8")
    weights = tmp_path / "mine.safetensors"
    command("export", out, "--network", "masks", "--facts", facts, "--out", weights)
    network, header = load_network(str(weights), "masks")
    assert header.architecture == state["architecture"]
    assert header.architecture["temperature"] == state["report"]["calibration"]["temperature"]
    assert read_card(weights.with_suffix(".md"))["figures"]["calibration"]
    frame = open_source(str(drive))[60].image
    image = torch.from_numpy(np.ascontiguousarray(frame[:352, :1216])).permute(2, 0, 1)[None] / 255
    assert (network(image.float()).argmax(1)[0, 320:, 500:700] == 0).float().mean() > 0.9, "road"
