# SPDX-License-Identifier: Apache-2.0
"""Scale and shift of a network's inverse depth, and how to fit them; see `stream_affine.py`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal

Float = NDArray[np.float64]

LEAST_POINTS = 24
"""Points that a fit needs."""
LEAST_RANGE = 1.5
"""Least ratio of the 90 % and 10 % quantiles of the points' depth: equally far points show no
shift."""
LARGEST_ERROR = 0.2
"""Largest median |log depth error| of the points: beyond it the answer is not affine."""
_FARTHEST = 1000.0
"""Largest depth, in depths of the nearest pixel."""
_FAINTEST = 1e-9
"""Least inverse depth of the nearest pixel: a wrong map may leave none in front of the camera."""
_NETWORK_STD = 0.08
"""Standard deviation of a network's log depth at a point."""
SURE = 5.0
"""Inverse depth of a point that counts, in standard deviations."""
_TRIALS, _ROUNDS = 100, 8
_HALF = 2.0  # residual, in standard deviations, at which Cauchy's weight is 1/2


class Affine(NamedTuple):
    """The inverse depth is `scale` times the network's plus `shift`."""

    scale: float
    shift: float

    def inverse(self, inverse: Float) -> Float:
        """Inverse depth, of the network's; it can be negative where the map is wrong."""
        return self.scale * inverse + self.shift

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) float32 depth of the network's; never infinite, NaN where the network's is."""
        with np.errstate(divide="ignore"):
            inverse = self.scale / depth + self.shift
        nearest = max(float(np.fmax.reduce(inverse, axis=None)), _FAINTEST)
        return np.asarray(1 / np.maximum(inverse, nearest / _FARTHEST), np.float32)


class AffineFit(NamedTuple):
    """A map that fits the points of one image.

    Attributes:
        affine: the map.
        weights: (N,) float64, 1 / variance of the wanted inverse depth; about 0 for outliers.
    """

    affine: Affine
    weights: Float


def fit_affine(inverse: Float, wanted: Float, std: Float) -> AffineFit | Refusal:
    """Fit scale and shift by robust least squares.

    Args:
        inverse: (N,) float64, the network's inverse depth at the points.
        wanted: (N,) float64, inverse depth that is known there; noise may make it negative.
        std: (N,) float64, standard deviation of `wanted`.
    """
    if len(inverse) < LEAST_POINTS:
        return Refusal(f"{len(inverse)} static points, {LEAST_POINTS} needed")
    low, high = np.quantile(wanted, (0.1, 0.9))
    if not high > LEAST_RANGE * max(low, 0.0):
        return Refusal("the static points are all about equally far away")
    sigma = np.hypot(std, _NETWORK_STD * np.abs(wanted))
    one, two = np.random.default_rng(0).integers(len(inverse), size=(2, _TRIALS))
    apart = np.abs(inverse[two] - inverse[one]) > 1e-9
    one, two = one[apart], two[apart]
    if not len(one):
        return Refusal("the network's answer is the same everywhere")
    scales = (wanted[two] - wanted[one]) / (inverse[two] - inverse[one])
    shifts = wanted[one] - scales * inverse[one]
    errors = np.abs(scales[:, None] * inverse + shifts[:, None] - wanted) / sigma
    best = int(np.median(errors, 1).argmin())
    affine = Affine(float(scales[best]), float(shifts[best]))
    terms = np.stack((inverse, np.ones_like(inverse)), 1)
    weights = sigma**-2
    for _ in range(_ROUNDS):
        found = affine.inverse(inverse)
        # Not by `wanted`, whose noise would give the points that it makes farther more weight.
        sigma = np.hypot(std, _NETWORK_STD * np.abs(found))
        weights = sigma**-2 / (1 + ((found - wanted) / sigma / _HALF) ** 2)
        weighted = terms * weights[:, None]
        scale, shift = np.linalg.lstsq(weighted.T @ terms, weighted.T @ wanted, rcond=None)[0]
        affine = Affine(float(scale), float(shift))
    if not (affine.scale > 0 and math.isfinite(affine.shift)):
        return Refusal("the network's answer does not grow towards the camera")
    sure = wanted > SURE * std
    found = affine.inverse(inverse)[sure]
    error = median(np.abs(log_ratio(found, wanted[sure]))) if sure.any() else math.inf
    if error > LARGEST_ERROR:
        return Refusal(f"no scale and shift explain the network's answer: error {error:.0%}")
    return AffineFit(affine, weights)


def log_ratio(found: Float, wanted: Float) -> Float:
    """Logarithm of found over wanted (N,) inverse depths, of which found can be negative."""
    return np.asarray(np.log(np.maximum(found, 1e-3 * wanted) / wanted))
