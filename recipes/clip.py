# SPDX-License-Identifier: Apache-2.0
"""A recording in memory at the network's size: images, labels, intrinsics, recorded ego-motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import relative
from depth_recog.method.masking import CITYSCAPES, DYNAMIC

SIZE = (416, 128)
"""Width and height in pixels at which the networks are trained."""

MOVABLE = tuple(CITYSCAPES.index(name) for name in DYNAMIC)
"""Train ids of what can move."""


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
        probabilities: (N, h, w, 19) uint8, a teacher's, in 255ths, of this aspect and any size;
            None where it was not asked for them.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    poses: NDArray[np.float64]
    depths: NDArray[np.float32] | None
    probabilities: NDArray[np.uint8] | None

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
                data["probabilities"][part] if "probabilities" in data else None,
            )

    def __len__(self) -> int:
        return len(self.images)

    def motion(self, first: int, second: int) -> NDArray[np.float64]:
        """T_second_from_first in metres, (4, 4)."""
        return relative(self.poses[first], self.poses[second])


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
