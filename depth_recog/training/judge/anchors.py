# SPDX-License-Identifier: Apache-2.0
"""Synthetic streets with exact depth, rendered when they are needed.

They hold what the live stream says nothing about, and cost neither a licence nor a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.training.config import AugmentationConfig
from depth_recog.training.data.augmentation import Augmentation, coloured, draw_colours
from depth_recog.training.depth.objective import FARTHEST_EXACT

LEARNT = ("street", "parked", "crossing", "oncoming", "lead_car")
JUDGED = ("street", "oncoming", "lead_car")
"""Scenes to learn from, and scenes for the judge; their seeds differ."""

_LEARNT_SEED, _JUDGED_SEED = 40_000, 50_000
_FRAMES = 300

PITCHES = (0.0, 1.5, -1.5, 3.0, -3.0)
"""Degrees by which the synthetic cameras look down: a network that learns from one camera alone
shifts with that camera's horizon, and other cameras' roads rise or sink."""


@dataclass(frozen=True)
class AnchorBatch:
    """Frames with exact depth.

    Attributes:
        images: (B, 3, H, W) float, 0..1.
        focal: (B,) float, vertical focal length, pixels.
        depth: (B, 1, H, W) float, metres, +inf sky.
    """

    images: Tensor
    focal: Tensor
    depth: Tensor


@dataclass(frozen=True, eq=False)
class AnchorFrames:
    """Synthetic frames of one size.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        depths: (N, H, W) float32 metres, +inf sky.
        intrinsics: (3, 3) float64, pixels.
    """

    images: NDArray[np.uint8]
    depths: NDArray[np.float32]
    intrinsics: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.images.shape[2], self.images.shape[1]

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes."""
        return self.images.nbytes + self.depths.nbytes

    @classmethod
    def render(
        cls, scenes: tuple[str, ...], seed: int, each: int, size: tuple[int, int]
    ) -> AnchorFrames:
        """Render frames.

        Args:
            scenes: names of synthetic scenes.
            seed: of the first scene; the others have the following ones.
            each: number of frames of a scene.
            size: (width, height) in pixels.
        """
        images, depths, intrinsics = [], [], np.eye(3)
        for number, scene in enumerate(scenes):
            pitch = PITCHES[number % len(PITCHES)]
            options = f"seed={seed + number}&frames={_FRAMES}&width={size[0]}&height={size[1]}"
            source = f"synthetic:{scene}?{options}&pitch={pitch}"
            recording = cast(Recording, open_source(source))
            for k in range(each):
                index = (2 * k + 1) * _FRAMES // (2 * each)
                frame, depth = recording[index], recording.truth(index).depth
                assert depth is not None, "a synthetic street has exact depth"
                images.append(frame.image)
                depths.append(depth)
                intrinsics = frame.camera.matrix
        return cls(np.stack(images), np.stack(depths), intrinsics)

    def batch(self, index: list[int]) -> AnchorBatch:
        """The frames of some indices, unchanged."""
        images = torch.from_numpy(self.images[index]).permute(0, 3, 1, 2).float() / 255
        focal = torch.full((len(index),), float(self.intrinsics[1, 1]))
        return AnchorBatch(images, focal, torch.from_numpy(self.depths[index])[:, None])

    def drawn(
        self, rng: np.random.Generator, count: int, augment: AugmentationConfig
    ) -> AnchorBatch:
        """Frames drawn at random, with random zoom, flip and colours."""
        parts: list[Any] = []
        for index in rng.integers(len(self), size=count):
            augmentation = Augmentation.draw(rng, self.size, augment.zoom)
            image = augmentation.apply(self.images[index], cv2.INTER_LINEAR)
            depth = augmentation.apply(self.depths[index], cv2.INTER_NEAREST)
            parts.append((image, depth, augmentation.intrinsics(self.intrinsics)[1, 1]))
        images = torch.from_numpy(np.stack([p[0] for p in parts])).permute(0, 3, 1, 2).float() / 255
        return AnchorBatch(
            coloured(images, draw_colours(rng, count, augment.colour)),
            torch.tensor([p[2] for p in parts]).float(),
            torch.from_numpy(np.stack([p[1] for p in parts]))[:, None],
        )


@lru_cache(maxsize=1)
def learnt_anchors(size: tuple[int, int], each: int = 8) -> AnchorFrames:
    """Frames to learn from, (width, height) in pixels: always the same."""
    return AnchorFrames.render(LEARNT, _LEARNT_SEED, each, size)


@lru_cache(maxsize=1)
def judged_anchors(size: tuple[int, int], each: int = 4) -> AnchorFrames:
    """Frames for the judge: always the same, and not those of `learnt_anchors`."""
    return AnchorFrames.render(JUDGED, _JUDGED_SEED, each, size)


def exact_error(inverse: Tensor, depth: Tensor) -> Tensor:
    """Mean |log depth error| where the depth is exact, a scalar.

    Args:
        inverse: (B, 1, H, W) float, inverse depth.
        depth: (B, 1, H, W) float, metres, +inf sky.
    """
    known = torch.isfinite(depth) & (depth < FARTHEST_EXACT)
    error = (inverse.log() + torch.where(known, depth, torch.ones_like(depth)).log()).abs()
    return masked_mean(error, known)[0].mean()
