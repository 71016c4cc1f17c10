# SPDX-License-Identifier: Apache-2.0
"""A semantic segmentation teacher for distillation: a TFLite model with 19 Cityscapes classes.

The model sees squares only: a wide frame is cut into overlapping ones (`method/tiling.py`).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import WeightsError
from depth_recog.method.tiling import tile_starts


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

    def _square(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        side = self._side
        enlarged = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        self._interpreter.set_tensor(self._input["index"], enlarged[None])
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output["index"])[0], np.uint8)

    def label(
        self, image: NDArray[np.uint8], width: int, height: int, overlap: float = 0.4
    ) -> NDArray[np.uint8]:
        """Label a frame.

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
            tile = self._square(np.ascontiguousarray(image[:, start : start + h]))
            columns = np.flatnonzero(nearest == i)
            u = ((columns + 0.5) * (w / width) - start) * (self._side / h) - 0.5
            v = (np.arange(height) + 0.5) * (self._side / height) - 0.5
            rows = np.clip(np.rint(v).astype(int), 0, self._side - 1)
            cols = np.clip(np.rint(u).astype(int), 0, self._side - 1)
            labels[:, columns] = tile[rows[:, None], cols[None]]
        return labels
