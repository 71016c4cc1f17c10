# SPDX-License-Identifier: Apache-2.0
"""Trains the depth network on recorded drives: block 108 with the recorded ego-motion.

The projection uses the drive's own poses in metres, so the depth comes out in metres; the masks
leave out what may move. Run as `python -m depth_recog.training.depth --help`.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import DepthTally, Groups
from depth_recog.method.loss import minimum_over_neighbours, pair_error, still_pixels
from depth_recog.method.masking import SKY
from depth_recog.method.photometric import masked_mean
from depth_recog.method.smoothness import gradient_error
from depth_recog.networks.depth import DepthNetwork
from depth_recog.training import checkpoint
from depth_recog.training.clip import (
    CHOICE_HELP,
    MOVABLE,
    Clip,
    View,
    draw_weights,
    jitter,
    read_choice,
    to_tensor,
    update_average,
)

# People and cycles: of what can move, what seldom stands still.
RESTLESS = (11, 12, 17, 18)
BASELINE = 0.8
REACH = 4
LARGEST_ZOOM = 1.3
AVERAGE = 0.995
EXACT = 0.15
FAR_SKY = 0.5


@dataclass(frozen=True)
class Sample:
    """A frame, its two neighbours, and how the camera moved to each."""

    clip: int
    index: int
    others: tuple[int, int]


def list_samples(clips: list[Clip]) -> list[Sample]:
    """Every frame that has a neighbour with parallax on both sides."""
    samples = []
    for c, clip in enumerate(clips):
        for i in range(len(clip)):
            before = clip.partner(i, -1, BASELINE, REACH)
            after = clip.partner(i, +1, BASELINE, REACH)
            if before is not None and after is not None:
                samples.append(Sample(c, i, (before, after)))
    return samples


def movable_mask(labels: NDArray[np.uint8], classes: tuple[int, ...]) -> Tensor:
    """(B, H, W) labels to (B, 1, H, W) bool, two pixels wider than the labels are."""
    mask = torch.from_numpy(np.isin(labels, classes)).float()[:, None]
    return max_pool2d(mask, 5, 1, 2) > 0


@dataclass
class Batch:
    """Tensors of one step; `images` holds the frame and its two neighbours.

    `truth` is the frame's depth where the recording knows it exactly, NaN elsewhere; `sky` is where
    the frame's labels say sky.
    """

    images: list[Tensor]
    masks: list[Tensor]
    intrinsics: Tensor
    motions: list[Tensor]
    truth: Tensor
    sky: Tensor


def make_batch(
    rng: np.random.Generator,
    clips: list[Clip],
    masked: Sequence[tuple[int, ...]],
    samples: list[Sample],
) -> Batch:
    """Read, zoom, crop and flip the frames of `samples`."""
    images: list[list[Tensor]] = [[], [], []]
    masks: list[list[Tensor]] = [[], [], []]
    motions: list[list[Tensor]] = [[], []]
    intrinsics = []
    truths, skies = [], []
    for sample in samples:
        clip = clips[sample.clip]
        height, width = clip.images.shape[1:3]
        view = View.draw(rng, (width, height), LARGEST_ZOOM)
        intrinsics.append(torch.from_numpy(view.intrinsics(clip.intrinsics)).float())
        for j, index in enumerate((sample.index, *sample.others)):
            images[j].append(to_tensor(view.frame(clip.images[index], cv2.INTER_LINEAR)))
            labels = view.frame(clip.labels[index], cv2.INTER_NEAREST)
            masks[j].append(movable_mask(labels[None], masked[sample.clip]))
            if j == 0:
                skies.append(torch.from_numpy(labels == SKY)[None])
        depth = np.full((height, width), np.nan, np.float32)
        if clip.depths is not None:
            depth = clip.depths[sample.index]
        truths.append(torch.from_numpy(view.frame(depth, cv2.INTER_NEAREST))[None])
        for j, other in enumerate(sample.others):
            motion = view.motion(clip.motion(sample.index, other))
            motions[j].append(torch.from_numpy(motion).float())
    return Batch(
        [torch.stack(x) for x in images],
        [torch.cat(x) for x in masks],
        torch.stack(intrinsics),
        [torch.stack(x) for x in motions],
        torch.stack(truths),
        torch.stack(skies),
    )


def batch_loss(network: DepthNetwork, batch: Batch, rng: np.random.Generator) -> Tensor:
    """Block 108 on two scales, with the least error over both neighbours."""
    first, seconds = batch.images[0], batch.images[1:]
    inverses = network.inverse_depths(
        jitter(rng, first).contiguous(memory_format=torch.channels_last), batch.intrinsics[:, 1, 1]
    )
    size = first.shape[2:]
    total = torch.zeros(())
    for scale, weight in ((0, 1.0), (2, 0.5)):
        inverse = inverses[scale]
        enlarged = interpolate(inverse, size=size, mode="bilinear", align_corners=False)
        pairs = [
            pair_error(first, s, 1 / enlarged, batch.intrinsics, t, batch.masks[0], m)
            for s, t, m in zip(seconds, batch.motions, batch.masks[1:], strict=True)
        ]
        error, valid = minimum_over_neighbours([p.error for p in pairs], [p.valid for p in pairs])
        valid = valid & ~still_pixels(error, first, seconds)
        means, counts = masked_mean(error, valid)
        photometric = means.sum() / (counts > 0).sum().clamp(min=1)
        edges = interpolate(first, size=inverse.shape[2:], mode="area")
        total = total + weight * (photometric + 1e-3 * gradient_error(inverse, edges))
    total = total + EXACT * exact_error(inverses[0], batch.truth)
    return total + FAR_SKY * sky_error(inverses[0], batch.sky)


def sky_error(inverse_depth: Tensor, sky: Tensor) -> Tensor:
    """Mean inverse depth of the sky, which is infinitely far.

    It has no texture and no parallax: every depth explains it, and without this it comes near.
    """
    means, counts = masked_mean(inverse_depth, sky)
    return means.sum() / (counts > 0).sum().clamp(min=1)


def exact_error(inverse_depth: Tensor, truth: Tensor) -> Tensor:
    """Mean |log depth - log truth| where the truth is known and nearer than 80 m; else 0.

    The synthetic street's exact edges teach what a photometric loss blurs.
    """
    known = torch.isfinite(truth) & (truth < 80)
    error = (inverse_depth * torch.where(known, truth, torch.ones_like(truth))).log().abs()
    means, counts = masked_mean(error, known)
    return means.sum() / (counts > 0).sum().clamp(min=1)


@torch.no_grad()
def validate(
    network: DepthNetwork, clip: Clip, drive: Recording, frames: range
) -> dict[str, float]:
    """Errors against a drive's true depth, on frames that are not trained on."""
    network.eval()
    focal = torch.tensor([clip.intrinsics[1, 1]], dtype=torch.float32)
    protocol = Protocol()
    tally = DepthTally(protocol)
    for i in frames:
        truth = np.asarray(drive.truth(i).depth, np.float32)
        judged = protocol.judged(truth)
        small = network(to_tensor(clip.images[i])[None], focal)[0, 0].numpy()
        depth = cv2.resize(small, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if judged.any():
            values = truth[judged].astype(np.float64)
            tally.add(str(i), depth[judged].astype(np.float64), values, Groups(values, None, None))
    network.train()
    figures = tally.result()
    return {
        "abs_rel": figures["unscaled"]["abs_rel"],
        "abs_rel_median_scaled": figures["median_scaled"]["abs_rel"],
        "a1_median_scaled": figures["median_scaled"]["a1"],
        "scale_median": figures["scale"]["median"],
        "scale_spread": figures["scale"]["spread"],
    }


def main() -> None:
    """Train, and keep the running average of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="FILE[:first:last][:restless][:xSHARE]",
        help=f"{CHOICE_HELP}; restless: only people and cycles are masked",
    )
    parser.add_argument("--encoder-weights", type=Path, required=True, help="ImageNet, .pth")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, .pt")
    parser.add_argument("--resume", type=Path, help="start from this checkpoint's weights")
    parser.add_argument("--validate", help="FILE:DRIVE:first:last, judged but not trained on")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=4e-4, help="of the decoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    choices = [read_choice(text) for text in options.clips]
    clips = [choice.clip for choice in choices]
    masked = [RESTLESS if "restless" in choice.flags else MOVABLE for choice in choices]
    samples = list_samples(clips)
    weights = draw_weights(choices, [s.clip for s in samples])
    print(f"{len(samples)} samples of {len(clips)} recordings", flush=True)

    network = DepthNetwork()
    network.encoder.load_imagenet(torch.load(options.encoder_weights, weights_only=True))
    if options.resume:
        network.load_state_dict(torch.load(options.resume, weights_only=True)["network"])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network)
    encoder = list(network.encoder.parameters())
    ids = {id(p) for p in encoder}
    others = [p for p in network.parameters() if id(p) not in ids]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": options.rate * 0.4}, {"params": others, "lr": options.rate}],
        weight_decay=1e-3,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [options.rate * 0.4, options.rate], options.steps, pct_start=0.05
    )
    validation = None
    if options.validate:
        path, drive, a, b = options.validate.split(":")
        sequence = open_source(drive)
        assert isinstance(sequence, Recording)
        validation = (Clip.load(Path(path)), sequence, range(int(a), int(b), 4))
    start, running = time.time(), 0.0
    network.train()
    for step in range(1, options.steps + 1):
        chosen = rng.choice(len(samples), options.batch, replace=False, p=weights)
        loss = batch_loss(
            network, make_batch(rng, clips, masked, [samples[i] for i in chosen]), rng
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        update_average(average, network, AVERAGE)
        running += (loss.item() - running) / min(step, 50)
        if step % 25 == 0:
            seconds = (time.time() - start) / step
            print(f"step {step} loss {running:.4f} {seconds:.2f} s/step", flush=True)
        if step % 200 == 0 or step == options.steps:
            report = validate(average, *validation) if validation else {}
            checkpoint.save(average, step, report, options.out)


if __name__ == "__main__":
    main()
