# SPDX-License-Identifier: Apache-2.0
"""The gates' thresholds from what they measure on placebos: quantiles of the null distribution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.calibration.null_samples import LiteralSample, Sample
from depth_recog.method.gate.by_image import Thresholds

LEAST_SCORE = 1.0
"""A threshold for scores is never below this: less is no evidence, whatever placebos say."""

_DRAWS = 1000


@dataclass(frozen=True)
class Rate:
    """A share of false positives.

    Attributes:
        value: 0..1.
        low: 2.5 % quantile of bootstrap draws over placebos (of pairs: over 1.5 seconds).
        high: 97.5 % quantile.
    """

    value: float
    low: float
    high: float


def score_threshold(samples: Sequence[Sample], quantile: float) -> float:
    """A quantile of the scores, never below `LEAST_SCORE`.

    With hysteresis the decisions' rate may be another one: it is measured, not computed.
    """
    return _rounded_up(max(float(np.quantile([s.score for s in samples], quantile)), LEAST_SCORE))


def literal_thresholds(samples: Sequence[LiteralSample], quantile: float) -> Thresholds:
    """One quantile of both elements, such that 1 - quantile of the pairs exceed either."""
    pairs = np.array([(sample.rotation, sample.translation) for sample in samples])
    ranks = pairs.argsort(0).argsort(0).max(1)
    last = int(np.ceil(quantile * len(pairs))) - 1
    row = int(np.sort(ranks)[last])
    rotation, translation = np.sort(pairs, 0)[row]
    return Thresholds(_rounded_up(float(rotation)), _rounded_up(float(translation)))


def _rounded_up(value: float) -> float:
    """To two digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(round(float(np.ceil(value / step * (1 - 1e-9)) * step), 9))


def rate(flags: NDArray[np.bool_], clusters: Sequence[Hashable]) -> Rate:
    """Share of True, with an interval by bootstrap over clusters."""
    groups: dict[Hashable, list[bool]] = defaultdict(list)
    for flag, cluster in zip(flags.tolist(), clusters, strict=True):
        groups[cluster].append(flag)
    hits = np.array([sum(group) for group in groups.values()])
    sizes = np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(0).integers(len(sizes), size=(_DRAWS, len(sizes)))
    low, high = np.percentile(hits[drawn].sum(1) / sizes[drawn].sum(1), (2.5, 97.5))
    return Rate(float(flags.mean()), float(low), float(high))
