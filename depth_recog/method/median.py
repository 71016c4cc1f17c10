# SPDX-License-Identifier: Apache-2.0
"""The middle of some hundred numbers, and how far they are from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NORMAL = 1.4826
"""A normal distribution's standard deviation, in median absolute deviations."""


def median(values: NDArray[np.floating[Any]]) -> float:
    """As `numpy.median`, which takes several times as long: it looks for NaN, and asks for axes.

    Args:
        values: (N,) with N > 0, none of them NaN.
    """
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def deviation(values: NDArray[np.floating[Any]]) -> float:
    """Robust standard deviation, by the median absolute deviation; arguments as of `median`."""
    return NORMAL * median(np.abs(values - median(values)))
