# SPDX-License-Identifier: Apache-2.0
"""A Depth Anything whose answer is computed: exactly affine in the inverse depth of a street."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hf_models import MEAN, STD, depth_anything
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame, Sequence
from depth_recog.datasets.sources import open_source
from depth_recog.networks.hf.depth import HfDepth

SIZE = WIDTH, HEIGHT = 416, 128
RATE, SPEED, FRAMES, SEED = 3, 4.0, 30, 1
SOURCE = (
    f"synthetic:street?seed={SEED}&frames={FRAMES}&width={WIDTH}&height={HEIGHT}"
    f"&rate={RATE}&speed={SPEED}"
)
CAMERA_HEIGHT = 1.65
_STEP, _KNOWN = 4, "known.npz"


@cache
def frames() -> list[tuple[Frame, NDArray[np.float32]]]:
    """The frames of `SOURCE`, and their depth in metres."""
    street = open_source(SOURCE)
    return [(street[i], street.truth(i).depth) for i in range(FRAMES)]


def directory(folder: Path) -> Path:
    """Save a small model of the real class, which takes the street's images as they are."""
    made = depth_anything(folder)
    values = {"image_mean": MEAN, "image_std": STD, "size": {"width": WIDTH, "height": HEIGHT}}
    (made / "preprocessor_config.json").write_text(json.dumps(values))
    images = [_small(frame.image) for frame, _ in frames()]
    np.savez(made / _KNOWN, images=images, depths=[depth for _, depth in frames()])
    return made


def _small(image: NDArray[Any]) -> NDArray[np.float32]:
    return image[::_STEP, ::_STEP].astype(np.float32)


class Answer:
    """In the place of `HfDepth._answer`: recognises the frame, and answers from the truth.

    Args:
        images: (N, h, w, 3), every `_STEP`th pixel of the frames.
        depths: (N, H, W) true depth.
    """

    def __init__(self, images: NDArray[np.float32], depths: NDArray[np.float32]) -> None:
        self._images, self._depths = images, depths

    @classmethod
    def of(cls, folder: Path) -> Answer:
        """That of a `directory`."""
        with np.load(folder / _KNOWN) as known:
            return cls(known["images"], known["depths"])

    @classmethod
    def to(cls, sequence: Sequence, count: int) -> Answer:
        """To the first frames of a recording with true depth."""
        images = np.stack([_small(sequence[i].image) for i in range(count)])
        return cls(images, np.stack([sequence.truth(i).depth for i in range(count)]))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image[0].permute(1, 2, 0) * 255).numpy()
        differences = np.abs(self._images - _small(pixels)).mean((1, 2, 3))
        depth = self._depths[int(differences.argmin())]
        return torch.from_numpy(3 / depth + 0.15)[None, None].float()


def install(folder: str) -> None:
    """Every Depth Anything of this process answers as the one in a folder."""
    answer = Answer.of(Path(folder))
    HfDepth._answer = lambda self, image: answer(image)  # type: ignore[method-assign]
