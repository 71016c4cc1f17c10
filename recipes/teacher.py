# SPDX-License-Identifier: Apache-2.0
"""The pseudo-label network (teacher): a TFLite model with the 19 Cityscapes classes.

The model takes square images: a wide frame is cut into overlapping squares (`networks/tiling.py`).

The labels of one pass are unstable: the model has 8-bit arithmetic, and on frames smaller than
those it was trained on they change when the frame is shifted by a few pixels. `vote` combines
several passes.
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
"""Weight of the outermost columns of a square in a vote; the middle has 1."""


class TeacherPass(NamedTuple):
    """How a frame is changed for one pass of a vote.

    Attributes:
        more: squares beyond those that are needed; this shifts all of them.
        mirrored: whether left and right are exchanged.
        gamma: exponent of the brightness; below 1, shadows become brighter.
    """

    more: int = 0
    mirrored: bool = False
    gamma: float = 1.0


PASSES = (
    TeacherPass(),
    TeacherPass(more=1, mirrored=True),
    TeacherPass(mirrored=True, gamma=0.6),
    TeacherPass(1, gamma=0.6),
)


@dataclass(frozen=True)
class Vote:
    """The result of several passes.

    Attributes:
        labels: (H, W) uint8 Cityscapes train ids with the most votes.
        share: (H, W) float32, 0..1: their share of the votes.
    """

    labels: NDArray[np.uint8]
    share: NDArray[np.float32]


def with_gamma(image: NDArray[np.uint8], gamma: float) -> NDArray[np.uint8]:
    """The image, its brightness (0..1) raised to the power of gamma."""
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
        """Label a square image (s, s, 3) uint8 RGB: (S, S) uint8, S the model's side."""
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
            width: of the labels, pixels.
            height: of the labels, pixels.
            overlap: least share of a square that the next one covers too.

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

    def vote(self, image: NDArray[np.uint8], passes: tuple[TeacherPass, ...] = PASSES) -> Vote:
        """Label a frame by a vote over several passes.

        Every square of every pass votes on each of its pixels. Votes near the left and right border
        of a square weigh less, since half of the context is missing there, except at the border of
        the frame.

        Args:
            image: (H, W, 3) uint8 RGB, W >= H.
            passes: how the frame is changed for each pass.
        """
        h, w = image.shape[:2]
        votes = np.zeros((len(CITYSCAPES), h, w), np.float32)
        for one in passes:
            seen = with_gamma(image[:, ::-1] if one.mirrored else image, one.gamma)
            counted = votes[:, :, ::-1] if one.mirrored else votes
            for start in tile_starts(w, h, more=one.more):
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
    """(side,) float32: weights of the columns of a square in a vote."""
    steps = np.arange(side, dtype=np.float32)
    inside = np.minimum(steps + 1, side - steps) * (2 / side)
    if start == 0:
        inside[: side // 2] = 1
    if start + side >= width:
        inside[side // 2 :] = 1
    weight = _AT_THE_BORDER + (1 - _AT_THE_BORDER) * np.minimum(inside, 1)
    return np.asarray(weight, np.float32)
