# SPDX-License-Identifier: Apache-2.0
"""Trains the segmentation network of block 103 by distillation from a teacher's labels.

Run as `python -m depth_recog.training.masks --help`.
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
from torch.nn.functional import cross_entropy

from depth_recog.networks.segmentation import SegmentationNetwork
from depth_recog.training import checkpoint
from depth_recog.training.clip import (
    CHOICE_HELP,
    SIZE,
    Clip,
    draw_weights,
    read_choice,
)
from depth_recog.training.optimiser import update_average
from depth_recog.training.views import View, jitter, to_tensor

CLASSES = 19
IGNORED = 255
LARGEST_ZOOM = 1.8
AVERAGE = 0.99


def class_weights(clips: list[Clip]) -> Tensor:
    """(19,) weights: rare classes count more, by the root of their rarity, at most ten times."""
    counts = np.zeros(CLASSES)
    for clip in clips:
        counts += np.bincount(clip.labels[clip.labels < CLASSES], minlength=CLASSES) / len(clip)
    frequency = counts / counts.sum()
    weights = np.sqrt(np.median(frequency[frequency > 0]) / np.maximum(frequency, 1e-6))
    return torch.from_numpy(np.clip(weights, 0.3, 3)).float()


def make_batch(
    rng: np.random.Generator, clips: list[Clip], samples: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) images and (B, H, W) labels of random views."""
    images, labels = [], []
    for c, i in samples:
        view = View.draw(rng, SIZE, LARGEST_ZOOM)
        images.append(to_tensor(view.frame(clips[c].images[i], cv2.INTER_LINEAR)))
        label = view.frame(clips[c].labels[i], cv2.INTER_NEAREST)
        labels.append(torch.from_numpy(label).long())
    return torch.stack(images), torch.stack(labels)


def confusion(truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(19, 19) counts, truth by row."""
    known = truth < CLASSES
    pairs = truth[known].astype(np.int64) * CLASSES + answer[known]
    return np.bincount(pairs, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)


@torch.no_grad()
def agreement(network: SegmentationNetwork, clip: Clip, frames: range) -> dict[str, float]:
    """Intersection over union with the teacher on frames that were not trained on."""
    network.eval()
    table = np.zeros((CLASSES, CLASSES), np.int64)
    for i in frames:
        image = cv2.resize(clip.images[i], SIZE, interpolation=cv2.INTER_AREA)
        truth = cv2.resize(clip.labels[i], SIZE, interpolation=cv2.INTER_NEAREST)
        answer = network(to_tensor(image)[None]).argmax(1)[0].numpy().astype(np.uint8)
        table += confusion(truth, answer)
    network.train()
    union = table.sum(0) + table.sum(1) - np.diag(table)
    iou = np.diag(table) / np.maximum(union, 1)
    present = table.sum(1) > 0.0005 * table.sum()
    return {
        "miou_present": float(iou[present].mean()),
        "car": float(iou[13]),
        "person": float(iou[11]),
        "road": float(iou[0]),
        "pixel_accuracy": float(np.diag(table).sum() / table.sum()),
    }


def main() -> None:
    """Train, and keep the running average of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="FILE[:first:last][:xSHARE]", help=CHOICE_HELP)
    parser.add_argument("--encoder-weights", type=Path, required=True, help="ImageNet, .pth")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, .pt")
    parser.add_argument("--resume", type=Path, help="start from this checkpoint's weights")
    parser.add_argument("--validate", nargs="*", default=[], metavar="FILE:first:last")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=6e-4)
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

    network = SegmentationNetwork()
    network.encoder.load_imagenet(torch.load(options.encoder_weights, weights_only=True))
    if options.resume:
        network.load_state_dict(torch.load(options.resume, weights_only=True)["network"])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, options.steps, pct_start=0.1
    )
    balance = class_weights(clips)
    start, running = time.time(), 0.0
    network.train()
    for step in range(1, options.steps + 1):
        chosen = rng.choice(len(samples), options.batch, replace=False, p=weights)
        images, labels = make_batch(rng, clips, [samples[i] for i in chosen])
        inputs = jitter(rng, images, 0.3).contiguous(memory_format=torch.channels_last)
        loss = cross_entropy(network(inputs), labels, weight=balance, ignore_index=IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        update_average(average, network, AVERAGE)
        running += (loss.item() - running) / min(step, 50)
        if step % 25 == 0:
            seconds = (time.time() - start) / step
            print(f"step {step} loss {running:.4f} {seconds:.2f} s/step", flush=True)
        if step % 200 == 0 or step == options.steps:
            report = {}
            for text in options.validate:
                path, a, b = text.split(":")
                report[f"{Path(path).stem}, frames {a} to {int(b) - 1}"] = agreement(
                    average, Clip.load(Path(path)), range(int(a), int(b), 3)
                )
            print(step, json.dumps(report), flush=True)
            state = {"network": average.state_dict(), "step": step, "report": report}
            checkpoint.save(state, options.out)


if __name__ == "__main__":
    main()
