# SPDX-License-Identifier: Apache-2.0
"""The replay memory: short parts of the stream, bounded in bytes, as different as possible."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.prepared import PreparedFrames

_THUMBNAIL = (8, 4)
_METRES = 50.0
"""Distance between two places that counts as much as entirely different images."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some successive frames of the stream.

    Attributes:
        recording: the frames, their triplets, and the dynamic pixels that stand still.
        descriptor: (D,) float64: appearance, motion and place; the distance of two descriptors
            says how different two blocks are.
        number: blocks are numbered in the order of the stream.
    """

    recording: TrainingRecording
    descriptor: NDArray[np.float64]
    number: int

    @property
    def frames(self) -> PreparedFrames:
        """The frames."""
        return self.recording.frames

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes."""
        frames, of = self.recording.frames, self.recording
        images = frames.images, frames.labels, frames.anchors, frames.depths
        arrays = *images, of.still, of.points
        return sum(a.nbytes for a in arrays if a is not None)


def descriptor_of(frames: PreparedFrames, place: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Describe a block by appearance, motion and place.

    Args:
        frames: with poses relative to each other.
        place: (3,) metres, by odometry; None if unknown.

    Returns:
        (D,) float64; each of the three parts differs by about 1 between unlike blocks.
    """
    middle = np.asarray(frames.images[len(frames) // 2])
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    appearance = (small - small.mean()) / max(float(small.std()), 1.0) / np.sqrt(len(small))
    brightness = [small.mean() / 255]
    motion = frames.motion(0, len(frames) - 1)
    seconds = max(float(frames.stamps[-1] - frames.stamps[0]) / 1e9, 1e-3)
    speed = float(np.linalg.norm(motion[:3, 3])) / seconds
    turn = float(np.arctan2(motion[0, 2], motion[2, 2])) / seconds
    moved = np.nan_to_num([speed / 10.0, turn / 0.5])
    where = np.zeros(2) if place is None else place[[0, 2]] / _METRES
    return np.concatenate((appearance, brightness, moved, where))


class ReplayMemory:
    """Blocks that are kept. When they are too many, the older one of the two most alike is dropped.

    Args:
        limit: largest size of all blocks together, bytes.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.blocks: list[Block] = []
        self.dropped = 0

    @property
    def nbytes(self) -> int:
        """Size of all blocks, bytes."""
        return sum(block.nbytes for block in self.blocks)

    def add(self, block: Block) -> None:
        """Keep a block, and drop others while the memory is too large."""
        self.blocks.append(block)
        while self.nbytes > self._limit:
            del self.blocks[self._most_redundant()]
            self.dropped += 1

    def clear(self) -> None:
        """Drop all blocks."""
        self.blocks.clear()

    def _most_redundant(self) -> int:
        if len(self.blocks) < 2:
            return 0
        points = np.stack([block.descriptor for block in self.blocks])
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        apart[np.tril_indices(len(points))] = np.inf
        # Blocks are in the order of time: the row is the older one of the pair.
        return int(np.unravel_index(int(apart.argmin()), apart.shape)[0])
