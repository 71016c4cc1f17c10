# SPDX-License-Identifier: Apache-2.0
"""The recipes: masks from pseudo-labels, poses from recorded motion."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kitti_files import real

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import batch_of

from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.sources import open_source
from depth_recog.method.geometry.se3 import inverse_matrix
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.own.files import load_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import read_card
from depth_recog.training.data.prepared import PreparedFrames
from recipes import deviation, masks, pose
from recipes.masks import (
    SIZES,
    MaskDataset,
    every_nth,
    part_of_the_way,
    sizes_of,
    soft_cross_entropy,
    start_of,
    weights_of_classes,
)


def halves(names: tuple[int, int] = (0, 13)) -> PreparedFrames:
    """Two frames whose left half is `names[0]`, the right half `names[1]`, in colour and label."""
    images = np.zeros((2, 64, 192, 3), np.uint8)
    images[:, :, 96:] = 255
    labels = np.full((2, 64, 192), names[0], np.uint8)
    labels[:, :, 96:] = names[1]
    soft = (labels[:, ::2, ::2, None] == np.arange(19)) * np.uint8(255)
    k, poses = np.tile(np.eye(3), (2, 1, 1)), np.full((2, 4, 4), np.nan)
    arrays = (images, labels, k, np.arange(2), poses)
    return PreparedFrames("halves", ["0", "1"], [], *arrays, probabilities=soft)


def test_images_and_probabilities_are_augmented_together() -> None:
    dataset = MaskDataset([halves()], seed=0, zoom=1.8, colour=0.0)
    sizes = sizes_of(halves())
    flips = set()
    for step in range(12):
        batch = dataset[step, 0, step % 2]
        width, height = sizes[step % 2]
        assert batch.images.shape == (3, height, width)
        assert batch.probabilities.shape == (19, height, width)
        assert (batch.probabilities.int().sum(0) - 255).abs().max() <= 2
        # The brightness of a pixel is its probability of being a car, except near the middle.
        difference = (batch.images[0].float() - batch.probabilities[13].float()).abs()
        assert (difference > 13).float().mean() < 0.1
        flips.add(round(float(batch.images[0, :, 0].float().mean() / 255)))
    assert flips == {0, 1}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1248, 384), SIZES),
        ((832, 480), ((448, 256), (288, 160))),
        ((640, 480), ((384, 288), (256, 192))),
    ],
)
def test_frames_keep_their_aspect(size: tuple[int, int], expected: tuple[tuple[int, int]]) -> None:
    images = np.zeros((1, size[1], size[0], 3), np.uint8)
    assert sizes_of(replace(halves(), images=images)) == list(expected)


def test_frames_of_a_long_source_are_spaced_evenly() -> None:
    chosen = chosen_frames("synthetic:street?frames=20@3:18")
    assert list(every_nth(chosen, 15).frames) == list(range(3, 18))
    assert list(every_nth(chosen, 4).frames) == [3, 7, 11, 15]


def test_a_training_starts_from_weights_at_another_enlargement() -> None:
    options = argparse.Namespace(start="masks-street", enlargement=1.0, teacher=None)
    initial = start_of(options)
    given, header = load_network("masks-street", "masks")
    image = torch.rand(1, 3, 64, 96)
    given.enlargement = 1.0
    scores = given(image) * header.architecture["temperature"]
    assert torch.allclose(initial.network(image), scores, atol=1e-4)
    assert all(p.requires_grad for p in initial.network.parameters())


def test_the_result_lies_between_the_start_and_the_trained_weights() -> None:
    before, trained = RefinedDeepLab(), RefinedDeepLab()
    result = part_of_the_way(before, trained, 0.25).state_dict()
    for name, weights in before.state_dict().items():
        expected = 0.75 * weights + 0.25 * trained.state_dict()[name]
        assert torch.allclose(result[name], expected, atol=1e-6)


def test_rare_classes_weigh_more_within_bounds() -> None:
    frames = halves((0, 0))
    soft = frames.probabilities.copy()
    soft[:, :1, :10] = 0
    soft[:, :1, :10, 11] = 255
    weights = weights_of_classes([replace(frames, probabilities=soft)])
    assert weights.shape == (19,)
    assert 0.4 <= weights[0] < 1 < weights[11] <= weights[12] == 3


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


class RecordedPairs(PoseNetwork):
    """Stores its inputs and answers with a fixed motion."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = torch.nn.Parameter(answer)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        self.pairs = first, second
        return self.answer.expand(len(first), 6)


def test_pose_pairs_are_in_the_order_of_time_and_half_of_them_masked() -> None:
    step = np.eye(4)
    step[:3, 3] = (0.1, 0.2, -0.8)  # T_later_from_earlier
    motions = np.tile(np.stack((inverse_matrix(step), step)), (8, 1, 1, 1))
    frames = torch.full((8, 3, 3, 32, 64), 128, dtype=torch.uint8)
    masked = torch.zeros(8, 2, 2, 32, 64, dtype=torch.bool)
    masked[..., :10, :] = True
    batch = batch_of(frames, masked=masked, motions=torch.from_numpy(motions).float())
    network = RecordedPairs(torch.tensor([0.0, 0, 0, 0.1, 0.2, -0.8]))
    torch.manual_seed(0)
    losses = pose.PoseTask(network, []).losses(network, batch, lambda values: values)
    assert float(losses["total"].detach()) == pytest.approx(0, abs=1e-6)
    for images in network.pairs:
        assert (images[..., 10:, :] > 0.4).all()
        hidden = (images[..., :10, :] == 0).flatten(1).all(1)
        assert torch.equal(hidden, (images[..., :10, :] == 0).flatten(1).any(1))
        assert 0 < hidden.sum() < 16


def test_poses_are_trained_and_exported(tmp_path: Path) -> None:
    street = "synthetic:street?seed={}&frames=8&width=128&height=64"
    settings = ("size=[128,64]", "steps=1", "batch=2", "workers=0", "device=cpu", "licence=none")
    arguments = [street.format(3), "--validate", street.format(4), "--out", str(tmp_path / "mine")]
    path = pose.main([*arguments, *(a for s in settings for a in ("--set", s))])
    network, header = load_network(str(path), "pose")
    assert isinstance(network, PoseNetwork)
    assert header.unit == "metres"
    card = read_card(path.with_suffix(".md"))
    assert set(card["figures"]) == {"rotation_degrees", "translation_percent"}
    assert card["command"].startswith("python -m recipes.pose")


@pytest.mark.data
def test_masks_are_trained_calibrated_and_exported(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install ai-edge-litert")
    model = next(real("weights").glob("deeplab_mobilenet_edgetpu*.tflite"))
    drive = str(real("kitti_raw/2011_09_26/2011_09_26_drive_0005_sync"))
    settings = ("steps=1", "batch=1", "workers=0", "device=cpu", "rate=1e-6")
    arguments = [f"{drive}@60:61", "--validate", f"{drive}@100:101", "--teacher", str(model)]
    out = ["--out", str(tmp_path / "mine")]
    path = masks.main([*arguments, *out, *(a for s in settings for a in ("--set", s))])
    network, header = load_network(str(path), "masks")
    card = read_card(path.with_suffix(".md"))
    scaling = card["temperature_scaling"]
    assert header.architecture["temperature"] == scaling["temperature"]
    assert scaling["calibration_error_after"] < scaling["calibration_error_before"]
    assert {f"iou_{width}" for width, _ in SIZES} < set(card["figures"])
    assert len((tmp_path / "mine" / "mine.train.sha256").read_text().splitlines()) == 2
    frame = open_source(drive)[60].image
    image = torch.from_numpy(np.ascontiguousarray(frame[:352, :1216])).permute(2, 0, 1)[None] / 255
    assert (network(image.float()).argmax(1)[0, 320:, 500:700] == 0).float().mean() > 0.9, "road"


def test_the_deviation_is_fitted_to_errors_and_covers(tmp_path: Path) -> None:
    """Through the recipe's command; the depth stays, and both kinds of street teach it."""
    street = "synthetic:street?seed=3&frames=10&width=128&height=64"
    held_out = "synthetic:street?seed=4&frames=4&width=128&height=64"
    settings = ("steps=300", "size=[128, 64]", f"cache={tmp_path / 'data'}", "device=cpu")
    words = [word for setting in settings for word in ("--set", setting)]
    path = deviation.main([street, "--validate", held_out, "--out", str(tmp_path / "run"), *words])
    before, _ = load_network("depth-street", "depth")
    after, header = load_network(str(path), "depth")
    assert header.deviation
    for name, value in before.state_dict().items():
        assert name.startswith("deviation.") or torch.equal(value, after.state_dict()[name]), name
    card = read_card(path.with_suffix(".md"))
    assert card["deviation_calibration"] > 0
    known = after.deviation.in_numpy((128, 64))
    image = open_source(street)[0].image
    depth = np.full((64, 128), 10, np.float32)
    assert np.median(known(np.zeros_like(image), depth)) > 1.5 * np.median(known(image, depth))


def test_errors_are_those_of_the_recording_without_the_factor_of_an_image() -> None:
    frames = halves()
    truth = np.full((2, 64, 192), 10, np.float32)
    anchors = np.full((2, 64, 192), 1 / 12, np.float16)
    anchors[:, :, 128:] = 1 / 20
    frames = replace(frames, dense=True, depths=truth, anchors=anchors)
    (errors,) = deviation.errors_of(frames, np.random.default_rng(0))
    assert errors.kind == "exact"
    assert errors.cues.shape == (len(errors.errors), 7)
    # 12 m is the median, and the rest is wrong by log(20 / 12).
    assert sorted(set(errors.errors.round(2).tolist())) == pytest.approx([0, 0.51], abs=0.01)
    points = np.zeros((2, 100, 3), np.float32)
    points[:, :, 0], points[:, :, 2] = 20, 10
    points[:, 40:] = np.nan
    frames = replace(frames, dense=False, depths=None, points=points)
    assert not deviation.errors_of(frames, np.random.default_rng(0)), "too few points"
