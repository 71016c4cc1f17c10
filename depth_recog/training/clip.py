# SPDX-License-Identifier: Apache-2.0
"""A recording in memory at the network's size: images, labels, intrinsics, recorded ego-motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.method.masking import CITYSCAPES, DYNAMIC
from depth_recog.method.se3 import relative

SIZE = (416, 128)
"""Width and height in pixels at which the networks are trained."""

MOVABLE = tuple(CITYSCAPES.index(name) for name in DYNAMIC)
"""Train ids of what can move."""

S = TypeVar("S", np.uint8, np.float32)


@dataclass(frozen=True)
class Clip:
    """What the trainers read.

    Attributes:
        name: the file's stem.
        images: (N, H, W, 3) uint8 RGB.
        labels: (N, H, W) uint8 train ids.
        intrinsics: (3, 3) float64, pixels of `images`.
        poses: (N, 4, 4) float64 camera-to-world in metres; NaN where unknown.
        depths: (N, H, W) float32 metres, NaN unknown, +inf sky; None where the recording has none
            that is dense and exact.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    poses: NDArray[np.float64]
    depths: NDArray[np.float32] | None

    @classmethod
    def load(cls, path: Path, first: int = 0, last: int | None = None) -> Clip:
        """Read frames `first` to `last` (exclusive) of a file that `prepare` wrote."""
        with np.load(path) as data:
            part = slice(first, last)
            return cls(
                path.stem,
                data["images"][part],
                data["labels"][part],
                data["K"],
                data["poses"][part],
                data["depths"][part] if "depths" in data else None,
            )

    def __len__(self) -> int:
        return len(self.images)

    def motion(self, first: int, second: int) -> NDArray[np.float64]:
        """T_second_from_first in metres, (4, 4)."""
        return relative(self.poses[first], self.poses[second])

    def partner(self, index: int, direction: int, baseline: float, reach: int) -> int | None:
        """The frame up to `reach` away whose camera is nearest to `baseline` metres away.

        None where no frame moved a quarter of that: too little parallax teaches nothing.
        """
        best, least = None, np.inf
        for step in range(1, reach + 1):
            other = index + direction * step
            if not 0 <= other < len(self):
                break
            distance = float(np.linalg.norm(self.motion(index, other)[:3, 3]))
            if distance > baseline / 4 and abs(distance - baseline) < least:
                best, least = other, abs(distance - baseline)
        return best


@dataclass(frozen=True)
class Choice:
    """A recording as the trainers' command lines name it.

    Attributes:
        clip: its frames.
        flags: words after the path.
        share: how often it is drawn, before its length is considered.
    """

    clip: Clip
    flags: frozenset[str]
    share: float


CHOICE_HELP = "a file that prepare wrote; first and last frame; xSHARE: how often it is drawn"


def read_choice(text: str) -> Choice:
    """Read FILE[:first:last][:FLAG][:xSHARE]; empty bounds mean the whole recording."""
    path, *rest = text.split(":")
    share = next((float(r[1:]) for r in rest if r.startswith("x")), 1.0)
    bounds = [int(r) if r else None for r in rest if not r or r.isdigit()]
    flags = frozenset(r for r in rest if r and not r.isdigit() and not r.startswith("x"))
    first, last = [*bounds, None, None][:2]
    return Choice(Clip.load(Path(path), first or 0, last), flags, share)


def draw_weights(choices: list[Choice], owners: list[int]) -> NDArray[np.float64]:
    """Probability of each sample, given which recording it belongs to.

    A recording counts by the root of its length, so that a short one is not drowned.
    """
    counts = np.bincount(owners, minlength=len(choices))
    weights = np.array([choices[c].share / np.sqrt(counts[c]) for c in owners])
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


@dataclass(frozen=True)
class View:
    """The same random zoom, crop and flip for every frame of a sample."""

    width: int
    height: int
    zoom: float
    x: int
    y: int
    flip: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, int], most: float) -> View:
        """A random view of frames of `size` (width, height), zoomed by 1 to `most`."""
        zoom = float(rng.uniform(1, most)) if rng.random() < 0.5 else 1.0
        width, height = round(size[0] * zoom), round(size[1] * zoom)
        x, y = rng.integers(width - size[0] + 1), rng.integers(height - size[1] + 1)
        return cls(*size, zoom, int(x), int(y), bool(rng.random() < 0.5))

    @property
    def enlarged(self) -> tuple[int, int]:
        """(width, height) before the crop."""
        return round(self.width * self.zoom), round(self.height * self.zoom)

    def frame(self, image: NDArray[S], interpolation: int) -> NDArray[S]:
        """Apply to an image, a label map or a depth map, of this aspect and any size."""
        if image.shape[1::-1] != self.enlarged:
            resized = cv2.resize(image, self.enlarged, interpolation=interpolation)
            image = np.asarray(resized, image.dtype)
        image = image[self.y : self.y + self.height, self.x : self.x + self.width]
        return np.ascontiguousarray(image[:, ::-1] if self.flip else image)

    def intrinsics(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """K of the view."""
        k = matrix.copy()
        sx, sy = self.enlarged[0] / self.width, self.enlarged[1] / self.height
        k[0, 0] *= sx
        k[1, 1] *= sy
        k[0, 2] = (k[0, 2] + 0.5) * sx - 0.5 - self.x
        k[1, 2] = (k[1, 2] + 0.5) * sy - 0.5 - self.y
        if self.flip:
            k[0, 2] = self.width - 1 - k[0, 2]
        return k

    def motion(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The motion as the mirrored camera sees it."""
        if not self.flip:
            return matrix
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        return mirror @ matrix @ mirror


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float, 0..1."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def jitter(rng: np.random.Generator, images: Tensor, strength: float = 0.2) -> Tensor:
    """Random brightness, contrast, saturation and gamma: (B, 3, H, W), 0..1, each image its own."""
    shape = (len(images), 1, 1, 1)

    def factor() -> Tensor:
        return torch.from_numpy(rng.uniform(1 - strength, 1 + strength, shape)).float()

    grey = images.mean(1, keepdim=True)
    x = grey + (images - grey) * factor()
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * factor() + mean) * factor()
    return x.clamp(1e-3, 1) ** factor()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Move a running average of the weights towards a network's.

    A plain mean over the last 1 / (1 - share) steps: its checkpoints swing less than the network's.

    Args:
        average: a copy of the network, changed in place.
        network: what the optimizer has just stepped.
        share: of the old average that stays.
    """
    new = network.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(new[key], 1 - share)
        else:
            value.copy_(new[key])
