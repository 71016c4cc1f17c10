# SPDX-License-Identifier: Apache-2.0
"""Makes the trainers' file of a recording: images at one size, labels, intrinsics, poses.

Labels come from the recording itself where it has any, else from the teacher, who looks once or
several times, or gives probabilities as well. Run as
`python -m recipes.prepare --help`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, SourceError
from recipes.soft_teacher import SoftTeacher
from recipes.teacher import Teacher


class Taught(NamedTuple):
    """What a teacher says of a frame.

    Attributes:
        labels: (h, w) uint8 Cityscapes train ids.
        probabilities: (h / 2, w / 2, 19) uint8, in 255ths; None where only labels were asked for.
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.uint8] | None = None


Label = Callable[[NDArray[np.uint8], tuple[int, int]], Taught]


def _nearest(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _once(model: Path) -> Label:
    teacher = Teacher(model)
    return lambda image, size: Taught(teacher.label(image, *size))


def _vote(model: Path) -> Label:
    teacher = Teacher(model)
    return lambda image, size: Taught(_nearest(teacher.vote(image).labels, size))


def _soft(model: Path) -> Label:
    teacher = SoftTeacher(model)

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> Taught:
        probabilities = teacher.probabilities(image, size[0] // 2, size[1] // 2)
        return Taught(_nearest(probabilities.argmax(2).astype(np.uint8), size), probabilities)

    return label


TEACHERS = {"once": _once, "vote": _vote, "soft": _soft}


def main() -> None:
    """Read, label, resize, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="a recording, as depth-recog run takes it")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--teacher", type=Path, help="TFLite segmentation model")
    parser.add_argument(
        "--teach", choices=TEACHERS, default="once", help="how the teacher is asked"
    )
    parser.add_argument("--size", type=int, nargs=2, default=(416, 128), metavar=("W", "H"))
    parser.add_argument("--frames", default=":", metavar="A:B", help="frames A to B - 1 only")
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame")
    options = parser.parse_args()
    size = (options.size[0], options.size[1])
    sequence = open_source(options.source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{options.source}: a live source cannot be prepared; record it first")
    label = TEACHERS[options.teach](options.teacher) if options.teacher else None
    images, labels, probabilities, poses, depths = [], [], [], [], []
    first, last = (int(bound) if bound else None for bound in options.frames.split(":"))
    for index in range(len(sequence))[first : last : options.every]:
        frame, truth = sequence[index], sequence.truth(index)
        images.append(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))
        if truth.labels is not None:
            labels.append(_nearest(truth.labels, size))
        elif label is not None:
            answer = label(frame.image, size)
            labels.append(answer.labels)
            probabilities.append(answer.probabilities)
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
    if probabilities and probabilities[0] is not None:
        arrays["probabilities"] = np.stack([p for p in probabilities if p is not None])
    np.savez(options.out, **arrays)  # type: ignore[arg-type]
    print(f"{options.out}: {len(images)} frames, {size[0]}x{size[1]}")


if __name__ == "__main__":
    main()
