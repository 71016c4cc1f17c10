# SPDX-License-Identifier: Apache-2.0
"""How well depth agrees with triangulated points, beside a row fit and a constant.

The length of the camera's motion is unknown, so the depth of each pair is first scaled to the
points by the median ratio, as the baselines are: an error of the scale is not seen here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.points import LEAST_POINTS, Points
from depth_recog.evaluation.without_truth.views import depth_at

Float = NDArray[np.float64]

THIRDS = ("near", "middle", "far")
_ROUNDS = 10
_LEAST_RESIDUAL = 0.01
_LARGEST = 1.0
"""Larger relative errors are clipped to this: some points lie on an edge between two depths."""


class Agreement(NamedTuple):
    """Comparison of one pair's points with a depth.

    Attributes:
        abs_rel: mean of min(|s d - z| / z, 1) over the points, s the median of z / d.
        a1: share of the points with max(s d / z, z / s d) below 1.25.
        thirds: abs_rel of the nearest, the middle and the farthest third of the points.
        scale: median of d / z: the length of the translation in the depth's unit.
        answered: share of the points where the depth is positive and finite.
    """

    abs_rel: float
    a1: float
    thirds: tuple[float, float, float]
    scale: float
    answered: float


def agreement(
    depth: NDArray[np.float32], points: Points, size: tuple[int, int]
) -> Agreement | None:
    """Compare a depth map with the points of a pair.

    Args:
        depth: (h, w) float32, of the first view.
        points: of the pair.
        size: (width, height) of the view in which the points lie.

    Returns:
        None where the depth is missing at too many points.
    """
    found = depth_at(depth, points.pixels, size)
    return compared(found, points.depth)


def compared(found: Float, truth: Float) -> Agreement | None:
    """Compare (N,) depths with (N,) triangulated ones, see `Agreement`.

    A missing depth counts as the largest error, so that no method gains by leaving points out.
    """
    known = np.isfinite(found) & (found > 0)
    if known.sum() < max(LEAST_POINTS // 2, len(truth) // 4):
        return None
    scale = float(np.median(found[known] / truth[known]))
    ratio = np.full(len(truth), np.inf)
    ratio[known] = found[known] / truth[known] / scale
    error = np.minimum(np.abs(ratio - 1), _LARGEST)
    order = np.argsort(truth)
    near, middle, far = (float(error[part].mean()) for part in np.array_split(order, 3))
    within = np.maximum(ratio, 1 / ratio) < 1.25
    return Agreement(
        float(error.mean()),
        float(within.mean()),
        (near, middle, far),
        scale,
        float(known.mean()),
    )


def row_fit(points: Points, height: int) -> Float:
    """Fit log depth by a quadratic function of the image row, to the least absolute error.

    It is fitted to the very points that it is compared with: what a network does not do better than
    this is known without looking at the picture.

    Args:
        points: of a pair.
        height: of the view, pixels.

    Returns:
        (height,) float64, depth of each row, in the points' unit.
    """

    def terms(rows: Float) -> Float:
        x = rows / height - 0.5
        return np.stack((np.ones_like(x), x, x * x), 1)

    rows = points.pixels[:, 1].astype(np.float64)
    design, wanted = terms(rows), np.log(points.depth)
    weight = np.ones(len(wanted))
    fit: Float = np.zeros(3)
    for _ in range(_ROUNDS):
        solution = np.linalg.lstsq(design * weight[:, None], wanted * weight, rcond=None)[0]
        fit = np.asarray(solution, np.float64)
        # Iteratively reweighted least squares for the sum of absolute errors.
        weight = 1 / np.sqrt(np.maximum(np.abs(wanted - design @ fit), _LEAST_RESIDUAL))
    # Rows beyond the points have the depth of the last row with points.
    inside = np.clip(np.arange(height, dtype=np.float64), rows.min(), rows.max())
    return np.exp(terms(inside) @ fit)
