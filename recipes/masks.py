# SPDX-License-Identifier: Apache-2.0
"""Trains the segmentation network of block 103: the teacher's own, taught to see small frames.

It begins with the teacher's weights and learns the probabilities that the teacher gives to the same
frames at full size (`prepare --teach soft`), and a recording's own labels where it has any. Run as
`python -m recipes.masks --help`.
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
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.evaluation.masks import CLASSES, Agreement, confusion
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.training import checkpoint
from depth_recog.training.optimiser import make_optimizer, set_rate, update_average
from depth_recog.training.views import View, jitter, to_tensor
from recipes.clip import CHOICE_HELP, Clip, draw_weights, read_choice
from recipes.teacher_weights import load_teacher

SIZES = ((640, 192), (416, 128))
"""Width and height in pixels of what is trained on: the sizes that are in use."""

SMALL = 0.4
"""Share of the steps at the smaller size; they have twice as many samples."""

LARGEST_ZOOM = 1.8
COLOURS = 0.4
AVERAGE = 0.99
WEIGHTS = (0.4, 3)
"""Least and largest weight of a class."""
LONGEST_GRADIENT = 1.0


def class_weights(clips: list[Clip]) -> Tensor:
    """(19,) weights: rare classes count more, by the fourth root of their rarity."""
    shares = [
        np.mean([wanted(clip, i).mean((0, 1)) for i in range(0, len(clip), 4)], 0) for clip in clips
    ]
    frequency = np.sum(shares, 0) / np.sum(shares)
    rarity = np.median(frequency[frequency > 0]) / np.maximum(frequency, 1e-6)
    return torch.from_numpy(np.clip(rarity**0.25, *WEIGHTS)).float()


def wanted(clip: Clip, index: int) -> NDArray[np.uint8]:
    """(h, w, 19) uint8, what is to be learnt of a frame: probabilities in 255ths.

    Where a recording has labels of its own and no teacher was asked, they are certain; nothing is
    wanted of an unlabelled pixel.
    """
    if clip.probabilities is not None:
        return np.asarray(clip.probabilities[index], np.uint8)
    certain = clip.labels[index][..., None] == np.arange(CLASSES)
    return np.asarray(certain * np.uint8(255), np.uint8)


def make_batch(
    rng: np.random.Generator,
    clips: list[Clip],
    samples: list[tuple[int, int]],
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) images, 0..1, and (B, 19, H, W) probabilities of random views."""
    images, targets = [], []
    for c, i in samples:
        view = View.draw(rng, size, LARGEST_ZOOM)
        images.append(to_tensor(view.frame(clips[c].images[i], cv2.INTER_AREA)))
        targets.append(to_tensor(view.frame(wanted(clips[c], i), cv2.INTER_LINEAR)))
    return torch.stack(images), torch.stack(targets)


def soft_cross_entropy(scores: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Mean cross entropy with probabilities (B, C, H, W), each class by its weight (C,)."""
    weighted = probabilities * weights[:, None, None]
    return -(weighted * scores.log_softmax(1)).sum() / weighted.sum()


@torch.inference_mode()
def agreement(
    network: RefinedDeepLab, clip: Clip, frames: range, size: tuple[int, int]
) -> dict[str, float]:
    """Intersections over unions with a clip's labels at a size."""
    table = np.zeros((CLASSES, CLASSES), np.int64)
    for i in frames:
        image = np.asarray(cv2.resize(clip.images[i], size, interpolation=cv2.INTER_AREA), np.uint8)
        truth = cv2.resize(clip.labels[i], size, interpolation=cv2.INTER_NEAREST_EXACT)
        answer = network(to_tensor(image)[None]).argmax(1)[0].numpy().astype(np.uint8)
        table += confusion(np.asarray(truth, np.uint8), answer)
    found = Agreement.of(table)
    figures = {"mean": found.mean, "accuracy": found.accuracy, **found.by_group}
    return {name: round(value, 4) for name, value in figures.items()}


def report(average: RefinedDeepLab, choices: list[str]) -> dict[str, dict[str, float]]:
    """Agreement on every third frame of held-out ones, at each of the sizes."""
    figures = {}
    for text in choices:
        path, first, last = text.split(":")
        clip, frames = Clip.load(Path(path)), range(int(first), int(last), 3)
        for size in SIZES:
            name = f"{Path(path).stem}, frames {first} to {int(last) - 1}, {size[0]}x{size[1]}"
            figures[name] = agreement(average, clip, frames, size)
    return figures


def main() -> None:
    """Train, and keep the running average of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="FILE[:first:last][:xSHARE]", help=CHOICE_HELP)
    parser.add_argument("--teacher", type=Path, required=True, help="TFLite segmentation model")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, .pt")
    parser.add_argument("--resume", type=Path, help="start from this checkpoint's weights")
    parser.add_argument("--validate", nargs="*", default=[], metavar="FILE:first:last")
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--batch", type=int, default=3, help="at the larger size")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--encoder-share", type=float, default=0.2, help="its part of the rate")
    parser.add_argument("--enlargement", type=float, default=1.5, help="of frames, in halves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    choices = [read_choice(text) for text in options.clips]
    clips = [choice.clip for choice in choices]
    samples = [(c, i) for c, clip in enumerate(clips) for i in range(len(clip))]
    shares = draw_weights(choices, [c for c, _ in samples])
    weights = class_weights(clips)

    network = RefinedDeepLab(enlargement=options.enlargement)
    load_teacher(network, options.teacher)
    if options.resume:
        network.load_state_dict(checkpoint.load(options.resume)["network"])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network)
    known = [*network.encoder.parameters(), *network.head.parameters()]
    new = [p for p in network.parameters() if all(p is not k for k in known)]
    optimizer = make_optimizer(known, new, options.rate, options.encoder_share)
    start, running = time.time(), 0.0
    for step in range(1, options.steps + 1):
        set_rate(optimizer, options.rate, step - 1, options.steps)
        small = rng.random() < SMALL
        count = min(len(samples), options.batch * (2 if small else 1))
        chosen = rng.choice(len(samples), count, replace=False, p=shares)
        images, targets = make_batch(rng, clips, [samples[i] for i in chosen], SIZES[small])
        inputs = jitter(rng, images, COLOURS).contiguous(memory_format=torch.channels_last)
        loss = soft_cross_entropy(network(inputs), targets, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        update_average(average, network, min(AVERAGE, step / (step + 20)))
        running += (loss.item() - running) / min(step, 50)
        if step % 25 == 0:
            seconds = (time.time() - start) / step
            print(f"step {step} loss {running:.4f} {seconds:.2f} s/step", flush=True)
        if step % 100 == 0 or step == options.steps:
            figures = report(average, options.validate)
            print(step, json.dumps(figures), flush=True)
            state = {"network": average.state_dict(), "step": step, "report": figures}
            design = {"design": "refined_deeplab", "enlargement": options.enlargement}
            checkpoint.save({**state, "architecture": design}, options.out)


if __name__ == "__main__":
    main()
