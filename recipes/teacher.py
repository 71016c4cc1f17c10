# SPDX-License-Identifier: Apache-2.0
"""A semantic segmentation teacher for distillation: a TFLite model with 19 Cityscapes classes.

The model sees squares only: a wide frame is cut into overlapping ones (`method/tiling.py`).

One such pass is unsteady: its arithmetic has eight bits, and on frames that are smaller than what
it was trained on a shift of a few pixels changes much. `vote` asks it several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import WeightsError
from depth_recog.method.masking import CITYSCAPES
from depth_recog.networks.tiling import tile_starts

_AT_THE_BORDER = 0.05
"""Weight of a square's outermost pixels in a vote; its middle has 1."""


class Look(NamedTuple):
    """One of the ways in which a voting teacher looks at a frame.

    Attributes:
        more: squares beyond those that are needed: it moves them all.
        mirrored: whether left and right are exchanged.
        gamma: exponent of the brightness; below 1 opens the shadows.
    """

    more: int = 0
    mirrored: bool = False
    gamma: float = 1.0


LOOKS = (Look(), Look(more=1, mirrored=True), Look(mirrored=True, gamma=0.6), Look(1, gamma=0.6))


@dataclass(frozen=True)
class Vote:
    """What several looks at a frame say together.

    Attributes:
        labels: (H, W) uint8 Cityscapes train ids, those with most votes.
        share: (H, W) float32, 0..1: their share of the votes.
    """

    labels: NDArray[np.uint8]
    share: NDArray[np.float32]


def with_gamma(image: NDArray[np.uint8], gamma: float) -> NDArray[np.uint8]:
    """The image with its brightness (0..1) raised to the power of gamma."""
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return np.asarray(table[image], np.uint8)


class Teacher:
    """Labels frames with Cityscapes train ids.

    Args:
        path: a TFLite file with a (1, S, S, 3) uint8 input and a (1, S, S) label output.
        threads: CPU threads for the interpreter.

    Raises:
        WeightsError: the file is missing, or the LiteRT package is not installed.
    """

    def __init__(self, path: Path, threads: int = 2) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise WeightsError(
                "the segmentation teacher needs LiteRT: pip install ai-edge-litert"
            ) from error
        if not path.is_file():
            raise WeightsError(f"{path}: no such file; the teacher is a TFLite model")
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._side = int(self._input["shape"][1])

    def square(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label a square image: (s, s, 3) uint8 RGB to (S, S) uint8, S the model's own side."""
        side = self._side
        enlarged = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        self._interpreter.set_tensor(self._input["index"], enlarged[None])
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output["index"])[0], np.uint8)

    def label(
        self, image: NDArray[np.uint8], width: int, height: int, overlap: float = 0.4
    ) -> NDArray[np.uint8]:
        """Label a frame in one pass.

        Args:
            image: (H, W, 3) uint8 RGB, W >= H.
            width: width of the answer in pixels.
            height: height of the answer in pixels.
            overlap: share of a square that the next one covers again.

        Returns:
            (height, width) uint8 Cityscapes train ids.
        """
        h, w = image.shape[:2]
        starts = tile_starts(w, h, overlap)
        centres = (np.array(starts) + h / 2) * (width / w)
        nearest = np.abs(np.arange(width)[:, None] + 0.5 - centres[None]).argmin(1)
        labels = np.empty((height, width), np.uint8)
        for i, start in enumerate(starts):
            tile = self.square(np.ascontiguousarray(image[:, start : start + h]))
            columns = np.flatnonzero(nearest == i)
            u = ((columns + 0.5) * (w / width) - start) * (self._side / h) - 0.5
            v = (np.arange(height) + 0.5) * (self._side / height) - 0.5
            rows = np.clip(np.rint(v).astype(int), 0, self._side - 1)
            cols = np.clip(np.rint(u).astype(int), 0, self._side - 1)
            labels[:, columns] = tile[rows[:, None], cols[None]]
        return labels

    def vote(self, image: NDArray[np.uint8], looks: tuple[Look, ...] = LOOKS) -> Vote:
        """Label a frame by a vote over several looks at it.

        Every square of every look has a vote on each of its pixels. It counts less towards the
        square's left and right border, where half of the context is missing, unless that border is
        the frame's own.

        Args:
            image: (H, W, 3) uint8 RGB, W >= H.
            looks: the ways in which to look.
        """
        h, w = image.shape[:2]
        votes = np.zeros((len(CITYSCAPES), h, w), np.float32)
        for look in looks:
            seen = with_gamma(image[:, ::-1] if look.mirrored else image, look.gamma)
            counted = votes[:, :, ::-1] if look.mirrored else votes
            for start in tile_starts(w, h, more=look.more):
                tile = self.square(np.ascontiguousarray(seen[:, start : start + h]))
                labels = cv2.resize(tile, (h, h), interpolation=cv2.INTER_NEAREST_EXACT)
                weight = _weights(start, h, w)
                part = counted[:, :, start : start + h]
                for name in np.unique(labels[labels < len(votes)]):
                    part[name] += (labels == name) * weight
        most = votes.argmax(0)
        share = np.take_along_axis(votes, most[None], 0)[0] / votes.sum(0)
        return Vote(most.astype(np.uint8), share)


def _weights(start: int, side: int, width: int) -> NDArray[np.float32]:
    """(side,) float32: what a square's columns count in a vote."""
    steps = np.arange(side, dtype=np.float32)
    inside = np.minimum(steps + 1, side - steps) * (2 / side)
    if start == 0:
        inside[: side // 2] = 1
    if start + side >= width:
        inside[side // 2 :] = 1
    weight = _AT_THE_BORDER + (1 - _AT_THE_BORDER) * np.minimum(inside, 1)
    return np.asarray(weight, np.float32)
