# SPDX-License-Identifier: Apache-2.0
"""Judges the standard deviation of log depth: does it cover the errors, does it find the worst?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.depth_errors import Protocol, Values
from depth_recog.evaluation.depth_tally import RANGES

DROPPED = 0.2
"""Share of the pixels, the least certain of the recording or range, that is left out."""

_BINS = 512
_LEAST, _MOST = 1e-3, 10.0
_EDGES = np.geomspace(_LEAST, _MOST, _BINS - 1)
_TERMS = 5
_KINDS = ("unscaled", "median_scaled")


class UncertaintyTally:
    """Collects errors by the deviation that was given for them.

    Args:
        protocol: of the comparison.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        # For all pixels and for each range, by deviation: number of pixels; and for both kinds of
        # depth the number within one deviation and the sum of |d - t| / t.
        self._sums = np.zeros((1 + len(RANGES), _BINS, _TERMS))

    def add(self, depth: Values, truth: Values, std: NDArray[np.float32], scale: float) -> None:
        """Add one image.

        Args:
            depth: (N,) the method's depth at the compared pixels, N > 0.
            truth: (N,) metres.
            std: (N,) of the log of `depth`; NaN counts as the least certain.
            scale: median of the truth over median of the depth.
        """
        depth = self._protocol.usable(depth)
        terms: list[Values] = [np.ones(len(truth))]
        for values in (depth, depth * scale):
            with np.errstate(invalid="ignore"):
                within = np.abs(np.log(values / truth)) <= std
            terms.append(within.astype(np.float64))
            terms.append(np.abs(values - truth) / truth)
        bins = np.searchsorted(_EDGES, np.nan_to_num(std, nan=np.inf))
        groups = [np.ones(len(truth), np.bool_), *((truth >= a) & (truth < b) for a, b in RANGES)]
        for sums, group in zip(self._sums, groups, strict=True):
            for column, term in enumerate(terms):
                counted = np.bincount(bins[group], term[group], _BINS)
                sums[:, column] += counted

    def result(self) -> dict[str, Any]:
        """Figures over all pixels and by range; empty without pixels."""
        if not self._sums[0, :, 0].any():
            return {}
        answer = _figures(self._sums[0])
        names = [f"{low}-{high}" for low, high in RANGES]
        answer["by_range"] = {
            name: _figures(sums)
            for name, sums in zip(names, self._sums[1:], strict=True)
            if sums[:, 0].any()
        }
        return answer


def _figures(sums: NDArray[np.float64]) -> dict[str, Any]:
    """Figures of the pixels of one group, from their sums by deviation, (bins, terms)."""
    total = sums.sum(0)
    kept = sums * _kept(sums[:, 0])[:, None]
    certain = kept.sum(0)
    # The deviation above which the dropped pixels lie.
    reached = int(np.searchsorted(sums[:, 0].cumsum(), (1 - DROPPED) * total[0]))
    answer: dict[str, Any] = {
        "pixels": int(total[0]),
        "threshold": float(_EDGES[min(reached, _BINS - 2)]),
    }
    for place, kind in enumerate(_KINDS):
        within, error = 1 + 2 * place, 2 + 2 * place
        answer[kind] = {
            "within_one_std": float(total[within] / total[0]),
            "abs_rel": float(total[error] / total[0]),
            "abs_rel_certain": float(certain[error] / certain[0]),
        }
    return answer


def _kept(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each bin that belongs to the most certain pixels."""
    wanted = (1 - DROPPED) * counts.sum()
    before = counts.cumsum() - counts
    return np.asarray(np.clip((wanted - before) / np.maximum(counts, 1e-9), 0, 1), np.float64)
