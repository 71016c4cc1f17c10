# SPDX-License-Identifier: Apache-2.0
"""Makes the trainers' file of a recording: images at one size, labels, intrinsics, poses.

Labels come from the recording itself where it has any, else from the teacher. Run as
`python -m depth_recog.training.prepare --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, SourceError
from depth_recog.training.teacher import Teacher


def main() -> None:
    """Read, label, resize, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="a recording, as depth-recog run takes it")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--teacher", type=Path, help="TFLite segmentation model")
    parser.add_argument("--size", type=int, nargs=2, default=(416, 128), metavar=("W", "H"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame")
    options = parser.parse_args()
    size = tuple(options.size)
    sequence = open_source(options.source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{options.source}: a live source cannot be prepared; record it first")
    teacher = Teacher(options.teacher) if options.teacher else None
    images, labels, poses, depths = [], [], [], []
    for index in range(0, len(sequence), options.every):
        frame, truth = sequence[index], sequence.truth(index)
        images.append(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))
        if truth.labels is not None:
            labels.append(cv2.resize(truth.labels, size, interpolation=cv2.INTER_NEAREST_EXACT))
        elif teacher is not None:
            labels.append(teacher.label(frame.image, *size))
        else:
            raise ConfigurationError(f"{options.source} has no labels: name a --teacher")
        # Sparse depth (LiDAR) is for judging, not for training: only a full image of it is kept.
        if truth.depth is not None and not np.isnan(truth.depth).any():
            depths.append(cv2.resize(truth.depth, size, interpolation=cv2.INTER_NEAREST_EXACT))
        known = truth.world_from_camera
        poses.append(np.full((4, 4), np.nan) if known is None else known)
    camera = sequence[0].camera.resized(*size)
    arrays = {
        "images": np.stack(images),
        "labels": np.stack(labels),
        "K": camera.matrix,
        "poses": np.stack(poses),
    }
    if len(depths) == len(images):
        arrays["depths"] = np.stack(depths)
    np.savez(options.out, **arrays)  # type: ignore[arg-type]
    print(f"{options.out}: {len(images)} frames, {size[0]}x{size[1]}")


if __name__ == "__main__":
    main()
