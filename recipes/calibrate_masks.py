# SPDX-License-Identifier: Apache-2.0
"""Fits the temperature of masks, so that their softmax is a probability, into a checkpoint.

Run as `python -m recipes.calibrate_masks CHECKPOINT FILE:first:last`. No label changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_recog.evaluation.masks import CLASSES
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.training import checkpoint
from depth_recog.training.views import to_tensor
from recipes.clip import CHOICE_HELP, Clip, read_choice
from recipes.masks import SIZES, report
from recipes.temperature import CalibrationTally, fit_temperature

EVERY = 61
"""Of the pixels one in so many is looked at; prime, so that they fall into no column."""


@torch.inference_mode()
def collect(network: RefinedDeepLab, clip: Clip) -> tuple[Tensor, Tensor]:
    """(N, 19) scores and (N,) labels of some pixels of every frame at all sizes."""
    scores, labels = [], []
    for size in SIZES:
        for image, label in zip(clip.images, clip.labels, strict=True):
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            wanted = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
            known = torch.from_numpy(np.asarray(wanted)).long().flatten()[::EVERY]
            said = network(to_tensor(small)[None])[0].flatten(1).T[::EVERY]
            scores.append(said[known < CLASSES])
            labels.append(known[known < CLASSES])
    return torch.cat(scores), torch.cat(labels)


def error(scores: Tensor, labels: Tensor) -> float:
    """Expected calibration error of scores."""
    best, answer = scores.softmax(1).max(1)
    tally = CalibrationTally()
    tally.add(best.numpy(), (answer == labels).numpy())
    return tally.error


def main() -> None:
    """Fit, tell, and write the checkpoint anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="what masks wrote")
    parser.add_argument("clip", metavar="FILE[:first:last]", help=CHOICE_HELP)
    parser.add_argument(
        "--enlargement", type=float, help="of frames when it is used; default: as in training"
    )
    parser.add_argument("--validate", nargs="*", default=[], metavar="FILE:first:last")
    options = parser.parse_args()
    state = checkpoint.load(options.checkpoint)
    enlargement = options.enlargement or state["architecture"].get("enlargement", 1.5)
    network = RefinedDeepLab(enlargement=enlargement)
    network.load_state_dict(state["network"])
    scores, labels = collect(network.eval(), read_choice(options.clip).clip)
    temperature = round(fit_temperature(scores, labels), 3)
    figures = {
        "temperature": temperature,
        "calibration_error_before": round(error(scores, labels), 4),
        "calibration_error": round(error(scores / temperature, labels), 4),
    }
    used = {"enlargement": enlargement, "temperature": temperature}
    state["architecture"] = {**state["architecture"], **used}
    state["report"] = {**report(network, options.validate), "calibration": figures}
    checkpoint.save(state, options.checkpoint)
    print(figures)


if __name__ == "__main__":
    main()
