# SPDX-License-Identifier: Apache-2.0
"""The teacher's probabilities: its network without quantisation, on whole frames, averaged.

Labels hide how sure the teacher was: on a small frame a van is a car to 40 %, a truck to 35 %, and
which of them is named changes from frame to frame. Probabilities do not flicker so.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.training.views import to_tensor
from recipes.teacher import with_gamma
from recipes.teacher_weights import load_teacher

HEIGHTS = (384, 512)
"""Rows to which a frame is scaled; the teacher was trained at about 512 of a whole street."""

LARGEST = 3
"""How many times a frame is enlarged at most: nothing is seen in what is blurred further."""

GAMMAS = (1.0, 0.6)
_STRIDE = 32


class SoftTeacher:
    """Class probabilities of frames.

    Args:
        path: the teacher's TFLite file; see `teacher_weights`.

    Raises:
        WeightsError: as `load_teacher` does.
    """

    def __init__(self, path: Path) -> None:
        network = RefinedDeepLab(enlargement=1)
        load_teacher(network, path)
        self._network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        """The mean over scales, gammas and mirror images.

        Args:
            image: (H, W, 3) uint8 RGB.
            width: width of the answer in pixels.
            height: height of the answer in pixels.

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
                seen = to_tensor(with_gamma(scaled, gamma))[None]
                for scores in (self._network(seen), self._network(seen.flip(3)).flip(3)):
                    total = total + _shrunk(scores, width, height).softmax(1)
                    count += 1
        mean = total[0].permute(1, 2, 0) * (255 / count)
        return np.asarray(mean.round().to(torch.uint8).numpy())


def _shrunk(scores: Tensor, width: int, height: int) -> Tensor:
    return nn.functional.interpolate(
        scores, size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )
