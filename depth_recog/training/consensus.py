# SPDX-License-Identifier: Apache-2.0
"""Keeps a teacher's labels only where a student, trained on better ones, says the same.

A teacher that looks at small, enlarged frames invents people on tarmac; a student trained on large
frames does not. Where they differ the label is left out. Run as
`python -m depth_recog.training.consensus --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from depth_recog.networks.segmentation import SegmentationNetwork
from depth_recog.training.views import to_tensor

IGNORED = 255


@torch.no_grad()
def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="what prepare wrote")
    parser.add_argument("checkpoint", type=Path, help="what masks wrote")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = SegmentationNetwork().eval()
    network.load_state_dict(torch.load(options.checkpoint, weights_only=True)["network"])
    with np.load(options.file) as data:
        arrays = dict(data)
    labels = arrays["labels"].copy()
    for image, label in zip(arrays["images"], labels, strict=True):
        answer = network(to_tensor(image)[None]).argmax(1)[0].numpy().astype(np.uint8)
        size = label.shape[1::-1]
        answer = np.asarray(cv2.resize(answer, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        label[label != answer] = IGNORED
    arrays["labels"] = labels
    np.savez(options.out, **arrays)
    print(f"{options.out}: {np.mean(labels != IGNORED):.1%} of the labels are kept")


if __name__ == "__main__":
    main()
