# SPDX-License-Identifier: Apache-2.0
"""Class probabilities of the teacher: its network without quantisation, averaged over passes.

Labels do not tell how certain the teacher is: on a small frame a van is a car with probability 0.40
and a truck with 0.35, and its label changes from frame to frame. Probabilities change much less.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from depth_recog.networks.backends.choice import choose
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.precision import in_precision
from recipes.teacher import with_gamma
from recipes.teacher_weights import load_teacher

HEIGHTS = (384, 512)
"""Rows to which frames are scaled; the teacher was trained on frames of about 512 rows."""

LARGEST = 3
"""Largest enlargement of a frame."""

GAMMAS = (1.0, 0.6)
_STRIDE = 32


class SoftTeacher:
    """Computes class probabilities of frames.

    Args:
        path: the teacher's TFLite file; see `teacher_weights`.

    Raises:
        WeightsError: as `load_teacher` does.
    """

    def __init__(self, path: Path) -> None:
        network = RefinedDeepLab(enlargement=1)
        load_teacher(network, path)
        network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        place = choose("torch", "cpu", "auto")
        self._network = in_precision(network, place.precision, torch.device("cpu"))

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        """Mean probabilities over scales, gammas and mirror images.

        Args:
            image: (H, W, 3) uint8 RGB.
            width: of the result, pixels.
            height: of the result, pixels.

        Returns:
            (height, width, 19) uint8, probabilities in 255ths.
        """
        h, w = image.shape[:2]
        total, count = torch.zeros(()), 0
        for rows in sorted({min(rows, LARGEST * h // _STRIDE * _STRIDE) for rows in HEIGHTS}):
            size = (max(_STRIDE, round(w / h * rows / _STRIDE) * _STRIDE), rows)
            method = cv2.INTER_CUBIC if rows > h else cv2.INTER_AREA
            scaled = np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)
            for gamma in GAMMAS:
                changed = torch.from_numpy(with_gamma(scaled, gamma))
                seen = changed.permute(2, 0, 1)[None].float() / 255
                for scores in (self._network(seen), self._network(seen.flip(3)).flip(3)):
                    shrunk = nn.functional.interpolate(
                        scores, size=(height, width), mode="bilinear", antialias=True
                    )
                    total = total + shrunk.softmax(1)
                    count += 1
        mean = total[0].permute(1, 2, 0) * (255 / count)
        return np.asarray(mean.round().to(torch.uint8).numpy())
