# SPDX-License-Identifier: Apache-2.0
"""Calibration error of class probabilities, and temperature scaling.

Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BINS = 15
_RANGE = (0.1, 10.0)
_ROUNDS = 40


class CalibrationTally:
    """Counts how often the most probable class is right, by its probability."""

    def __init__(self) -> None:
        self._pixels = np.zeros(BINS)
        self._right = np.zeros(BINS)
        self._probability = np.zeros(BINS)

    def add(self, probability: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Count pixels.

        Args:
            probability: (N,) of the most probable class, 0..1.
            right: (N,) whether that class is the label.
        """
        index = np.minimum((probability * BINS).astype(int), BINS - 1)
        self._pixels += np.bincount(index, minlength=BINS)
        self._right += np.bincount(index, right, minlength=BINS)
        self._probability += np.bincount(index, probability, minlength=BINS)

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean over pixels of |accuracy - probability|."""
        return float(np.abs(self._right - self._probability).sum() / self._pixels.sum())


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Fit the divisor of scores for which their softmax has the least cross entropy.

    Cross entropy is convex in 1 / temperature, so a ternary search finds the minimum.

    Args:
        scores: (N, C) float.
        labels: (N,) int64.

    Returns:
        The temperature, between 0.1 and 10.
    """

    def cost(log_temperature: float) -> float:
        tempered = scores / float(np.exp(log_temperature))
        return float(torch.nn.functional.cross_entropy(tempered, labels))

    low, high = np.log(_RANGE)
    for _ in range(_ROUNDS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if cost(left) < cost(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
