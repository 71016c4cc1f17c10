# SPDX-License-Identifier: Apache-2.0
"""How well depth agrees with triangulated points, beside a row fit and a constant.

The length of the camera's motion is unknown, so the depth of each pair is first scaled to the
points by the median ratio, as the baselines are: an error of the scale is not seen here.

Points lie where there is texture: half of them may be on one facade. So every interval of distance
counts the same, however many points it has; with that the ranking of networks is LiDAR's
(benchmarks/without_truth.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.points import LEAST_POINTS, Points
from depth_recog.evaluation.without_truth.views import depth_at

Float = NDArray[np.float64]

THIRDS = ("near", "middle", "far")
_INTERVAL = 0.5
_FEWEST = 10
_TAIL = 0.02
_ROUNDS = 10
_LEAST_RESIDUAL = 0.01
_LARGEST = 1.0
"""Larger relative errors are clipped to this: some points lie on an edge between two depths."""


class Agreement(NamedTuple):
    """Comparison of one pair's points with a depth, all points weighted by `balanced`.

    Attributes:
        abs_rel: mean of min(|s d - z| / z, 1) over the points, s the median of z / d.
        a1: share of the points with max(s d / z, z / s d) below 1.25.
        thirds: abs_rel of the nearest, the middle and the farthest third of the points, unweighted.
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
    weight = balanced(truth)
    scale = weighted_median(found[known] / truth[known], weight[known])
    ratio = np.full(len(truth), np.inf)
    ratio[known] = found[known] / truth[known] / scale
    error = np.minimum(np.abs(ratio - 1), _LARGEST)
    order = np.argsort(truth)
    near, middle, far = (float(error[part].mean()) for part in np.array_split(order, 3))
    within = np.maximum(ratio, 1 / ratio) < 1.25
    return Agreement(
        float(np.average(error, weights=weight)),
        float(np.average(within, weights=weight)),
        (near, middle, far),
        scale,
        float(known.mean()),
    )


def balanced(depth: Float) -> Float:
    """Return (N,) weights with which every interval of log depth counts the same.

    A few wrong points must not decide: intervals with fewer than `_FEWEST` points count less, and
    the nearest and farthest points share the interval of those at `_TAIL` of all.
    """
    low, high = np.quantile(depth, (_TAIL, 1 - _TAIL))
    interval = np.floor(np.log(np.clip(depth, low, high) / low) / _INTERVAL).astype(np.int64)
    _, which, counts = np.unique(interval, return_inverse=True, return_counts=True)
    return np.asarray(1 / np.maximum(counts, _FEWEST)[which])


def weighted_median(values: Float, weights: Float) -> float:
    """Return the first of (N,) sorted values at which half of the weight is reached, N > 0."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def row_fit(points: Points, height: int) -> Float:
    """Fit log depth by a quadratic function of the image row, to the least weighted absolute error.

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
    own = np.sqrt(balanced(points.depth))
    weight = own
    fit: Float = np.zeros(3)
    for _ in range(_ROUNDS):
        solution = np.linalg.lstsq(design * weight[:, None], wanted * weight, rcond=None)[0]
        fit = np.asarray(solution, np.float64)
        # Iteratively reweighted least squares for the sum of absolute errors.
        weight = own / np.sqrt(np.maximum(np.abs(wanted - design @ fit), _LEAST_RESIDUAL))
    # Rows beyond the points have the depth of the last row with points.
    inside = np.clip(np.arange(height, dtype=np.float64), rows.min(), rows.max())
    return np.exp(terms(inside) @ fit)
