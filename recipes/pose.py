# SPDX-License-Identifier: Apache-2.0
"""Trains the pose network of blocks 104 and 105 on recorded ego-motion, on masked images too.

Run as `python -m recipes.pose --help`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_recog.method.geometry.se3 import from_vector, rotation_angle
from depth_recog.method.masking import masked_image
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.training import checkpoint
from depth_recog.training.optimiser import update_average
from depth_recog.training.views import View, jitter, to_tensor
from recipes.clip import CHOICE_HELP, MOVABLE, SIZE, Clip, draw_weights, read_choice

REACH = 3
AVERAGE = 0.99
# An error of 1 degree weighs as much as one of a metre: errors in the network's own units.
ROTATION_WEIGHT = 50.0


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """(3,) rotation vector in radians of a (4, 4) motion."""
    return np.asarray(cv2.Rodrigues(matrix[:3, :3])[0][:, 0], np.float64)


def make_batch(
    rng: np.random.Generator, clips: list[Clip], samples: list[tuple[int, int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of random gaps, half of them masked; (B, 3, H, W) twice and (B, 6)."""
    firsts: list[Tensor] = []
    seconds: list[Tensor] = []
    motions = []
    for c, i in samples:
        clip = clips[c]
        # Always forward in time, as the network is used: with both directions mixed it learnt
        # nothing within a thousand steps, since the frames enter its first layer alike.
        j = min(i + int(rng.integers(1, REACH + 1)), len(clip) - 1)
        # No zoom: the network has no other way to know the focal length.
        view = View(*SIZE, 1.0, 0, 0, bool(rng.random() < 0.5))
        masked = rng.random() < 0.5
        for index, frames in ((i, firsts), (j, seconds)):
            image = clip.images[index]
            if masked:
                image = masked_image(image, np.isin(clip.labels[index], MOVABLE))
            frames.append(to_tensor(view.frame(image, cv2.INTER_AREA)))
        motion = view.motion(clip.motion(i, j))
        motions.append(np.concatenate((rotation_vector(motion), motion[:3, 3])))
    target = torch.from_numpy(np.stack(motions)).float()
    return torch.stack(firsts), torch.stack(seconds), target


@torch.no_grad()
def errors(network: PoseNetwork, clip: Clip, frames: range) -> dict[str, float]:
    """Median rotation error in degrees and translation error in percent, neighbours only."""
    network.eval()
    turns, shares = [], []
    for i in frames:
        pair = (to_tensor(clip.images[i])[None], to_tensor(clip.images[i + 1])[None])
        found = from_vector(network(*pair)[0].double()).numpy()
        truth = clip.motion(i, i + 1)
        turns.append(np.degrees(rotation_angle(found @ np.linalg.inv(truth))))
        shares.append(np.linalg.norm(found[:3, 3] - truth[:3, 3]) / np.linalg.norm(truth[:3, 3]))
    network.train()
    return {
        "rotation_degrees": float(np.median(turns)),
        "translation_percent": 100 * float(np.median(shares)),
    }


def main() -> None:
    """Train, and keep the running average of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="FILE[:first:last][:xSHARE]", help=CHOICE_HELP)
    parser.add_argument("--encoder-weights", type=Path, required=True, help="ImageNet, .pth")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, .pt")
    parser.add_argument("--validate", nargs="*", default=[], metavar="FILE:first:last")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    choices = [read_choice(text) for text in options.clips]
    clips = [choice.clip for choice in choices]
    samples = [(c, i) for c, clip in enumerate(clips) for i in range(len(clip))]
    weights = draw_weights(choices, [c for c, _ in samples])

    network = PoseNetwork()
    network.load_imagenet(torch.load(options.encoder_weights, weights_only=True))
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, options.steps, pct_start=0.1
    )
    scale = torch.tensor([ROTATION_WEIGHT] * 3 + [1.0] * 3)
    start, running = time.time(), 0.0
    network.train()
    for step in range(1, options.steps + 1):
        chosen = rng.choice(len(samples), options.batch, replace=False, p=weights)
        before, after, target = make_batch(rng, clips, [samples[i] for i in chosen])
        both = jitter(rng, torch.cat((before, after)), 0.2)
        predicted = network(both[: len(before)], both[len(before) :])
        loss = ((predicted - target).abs() * scale).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        update_average(average, network, AVERAGE)
        running += (loss.item() - running) / min(step, 50)
        if step % 50 == 0:
            seconds = (time.time() - start) / step
            print(f"step {step} loss {running:.4f} {seconds:.2f} s/step", flush=True)
        if step % 300 == 0 or step == options.steps:
            report = {}
            for text in options.validate:
                path, a, b = text.split(":")
                report[f"{Path(path).stem}, frames {a} to {int(b) - 1}"] = errors(
                    average, Clip.load(Path(path)), range(int(a), int(b) - 1)
                )
            print(step, json.dumps(report), flush=True)
            state = {"network": average.state_dict(), "step": step, "report": report}
            checkpoint.save(state, options.out)


if __name__ == "__main__":
    main()
