# SPDX-License-Identifier: Apache-2.0
"""Labels of the frames that masks are trained and validated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.viewport import Viewport
from recipes.mask_metrics import CLASSES
from recipes.soft_teacher import SoftTeacher
from recipes.teacher import Teacher


class SoftLabels:
    """Annotates training frames with class probabilities, at half the size of the images."""

    def __init__(self, teacher: Path) -> None:
        self._teacher = SoftTeacher(teacher)
        self.identity = ("class probabilities", teacher.name)

    def annotate(
        self, image: NDArray[np.uint8], view: Viewport, labels: NDArray[np.uint8] | None
    ) -> dict[str, NDArray[Any]]:
        """See `Annotator`. Recorded labels get the probability 1, unlabelled pixels none."""
        width, height = view.network.size
        half = (width // 2, height // 2)
        if labels is None:
            probabilities = self._teacher.probabilities(image, *half)
            labels = probabilities.argmax(2).astype(np.uint8)
        else:
            probabilities = (
                resized_labels(labels, half)[..., None] == np.arange(CLASSES)
            ) * np.uint8(255)
        return {"labels": resized_labels(labels, (width, height)), "probabilities": probabilities}


class VotedLabels:
    """Annotates held-out frames with the teacher's vote over several passes."""

    def __init__(self, teacher: Path) -> None:
        self._teacher = Teacher(teacher)
        self.identity = ("votes", teacher.name)

    def annotate(
        self, image: NDArray[np.uint8], view: Viewport, labels: NDArray[np.uint8] | None
    ) -> dict[str, NDArray[Any]]:
        """See `Annotator`."""
        found = self._teacher.vote(image).labels if labels is None else labels
        return {"labels": resized_labels(found, view.network.size)}


def resized_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) uint8 at (width, height)."""
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
