# SPDX-License-Identifier: Apache-2.0
"""Figures from samples on placebos: false-positive rates, score quantiles, literal thresholds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import SourceError
from depth_recog.evaluation.placebos.samples import PairSample, PlaceboSamples
from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.settings import Settings

LEAST_PLACEBOS, LEAST_SAMPLES, LEAST_PAIRS = 20, 150, 30
"""With fewer of them the tail of the distribution is unknown."""

QUANTILES = (0.5, 0.9, 0.95, 0.99)

# Pairs that share a placebo are not independent; a placebo lives as long as this.
_BLOCK_NS = 1_500_000_000
_DRAWS = 1000


@dataclass(frozen=True)
class Rate:
    """A share of false positives.

    Attributes:
        value: 0..1.
        low: 2.5 % quantile of bootstrap draws over placebos (for pairs: over 1.5 s blocks).
        high: 97.5 % quantile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """For the table."""
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class PlaceboReport:
    """What the gates measured on placebos.

    Attributes:
        frames: of the recording.
        at_rest: how many of them were left out because the camera stood.
        placebos: how many have samples.
        samples: of the object gate; one is one placebo in one frame.
        pairs: of frames, for the literal gate.
        scores: quantiles of the object gate's scores, by `QUANTILES`.
        threshold: of the object gate, as set.
        moving: share of samples that the object gate calls moving.
        undecided: share of samples that it calls undecided.
        literal: thresholds of the literal gate, as set.
        literal_moving: share of pairs that the literal gate calls moving.
        quantile: of the pairs, for the next two.
        literal_quantile: thresholds that this share of the pairs does not exceed.
        literal_quantile_moving: share of pairs that the literal gate calls moving with them.
    """

    frames: int
    at_rest: int
    placebos: int
    samples: int
    pairs: int
    scores: dict[str, float]
    threshold: float
    moving: Rate
    undecided: float
    literal: Thresholds
    literal_moving: Rate
    quantile: float
    literal_quantile: Thresholds
    literal_quantile_moving: Rate

    def table(self) -> str:
        """Format the figures for the terminal."""
        scores = ", ".join(f"{q} {value:.1f}" for q, value in self.scores.items())
        return "\n".join(
            (
                f"{self.frames} frames, {self.at_rest} left out because the camera stood",
                f"object gate: {self.samples} samples of {self.placebos} placebos",
                f"  score quantiles             {scores}",
                f"  undecided                   {self.undecided:.1%}",
                f"  called moving               {self.moving} at gate_threshold {self.threshold:g}",
                f"image gate: {self.pairs} pairs of frames",
                f"  called moving               {self.literal_moving} at {_text(self.literal)}",
                f"  called moving               {self.literal_quantile_moving} at "
                f"{_text(self.literal_quantile)}, the {self.quantile:g} quantile",
                "(shares with 95 % intervals; nothing there moves)",
            )
        )

    def parameters(self, origin: str) -> str:
        """Format the literal gate's thresholds as a ROS parameters file for the depth node.

        Args:
            origin: program and recording, for a comment.
        """
        # A line break in a name must not end the comment.
        return (
            f"# The image gate's thresholds at the {self.quantile:g} quantile on placebos: "
            f"{' '.join(origin.split())}\n"
            "/**:\n"
            "  ros__parameters:\n"
            f"    gate_rotation: {self.literal_quantile.rotation!r}\n"
            f"    gate_translation: {self.literal_quantile.translation!r}\n"
        )


def placebo_report(
    samples: PlaceboSamples, settings: Settings, quantile: float, source: str
) -> PlaceboReport:
    """Compute the figures.

    Args:
        samples: of one recording.
        settings: with which they were measured.
        quantile: for the literal gate's thresholds, 0..1.
        source: name of the recording, for errors.

    Raises:
        SourceError: there are too few samples.
    """
    _check(samples, source)
    scores = np.quantile([sample.score for sample in samples.regions], QUANTILES)
    numbers = [sample.placebo for sample in samples.regions]
    motions = np.array([sample.motion for sample in samples.regions], np.uint8)
    literal = literal_thresholds(samples.pairs, quantile)
    return PlaceboReport(
        frames=samples.frames,
        at_rest=samples.at_rest,
        placebos=samples.placebos,
        samples=len(samples.regions),
        pairs=len(samples.pairs),
        scores={f"{q:g}": float(value) for q, value in zip(QUANTILES, scores, strict=True)},
        threshold=settings.score_threshold,
        moving=rate(motions == Motion.MOVING, numbers),
        undecided=float(np.mean(motions == Motion.UNDECIDED)),
        literal=settings.thresholds,
        literal_moving=_pair_rate(samples.pairs, settings.thresholds),
        quantile=quantile,
        literal_quantile=literal,
        literal_quantile_moving=_pair_rate(samples.pairs, literal),
    )


def literal_thresholds(samples: Sequence[PairSample], quantile: float) -> Thresholds:
    """Return thresholds that a share `quantile` of the pairs exceeds in neither element.

    Both elements get the same quantile of their own distribution.
    """
    pairs = np.array([(sample.rotation, sample.translation) for sample in samples])
    ranks = pairs.argsort(0).argsort(0).max(1)
    last = int(np.ceil(quantile * len(pairs))) - 1
    row = int(np.sort(ranks)[last])
    rotation, translation = np.sort(pairs, 0)[row]
    return Thresholds(_rounded_up(float(rotation)), _rounded_up(float(translation)))


def _rounded_up(value: float) -> float:
    """Round up to two digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(round(float(np.ceil(value / step * (1 - 1e-9)) * step), 9))


def rate(flags: NDArray[np.bool_], clusters: Sequence[Hashable]) -> Rate:
    """Return the share of True, with an interval by bootstrap over clusters.

    Args:
        flags: (N,) bool.
        clusters: (N,) the cluster of each; samples of one cluster are not independent.
    """
    groups: dict[Hashable, list[bool]] = defaultdict(list)
    for flag, cluster in zip(flags.tolist(), clusters, strict=True):
        groups[cluster].append(flag)
    hits = np.array([sum(group) for group in groups.values()])
    sizes = np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(0).integers(len(sizes), size=(_DRAWS, len(sizes)))
    low, high = np.percentile(hits[drawn].sum(1) / sizes[drawn].sum(1), (2.5, 97.5))
    return Rate(float(flags.mean()), float(low), float(high))


def _check(samples: PlaceboSamples, source: str) -> None:
    if samples.at_rest > samples.frames / 2:
        raise SourceError(
            f"{source}: the camera stands in {samples.at_rest} of {samples.frames} frames, where "
            "errors of depth have no effect; give a recording of a drive, or a part (--frames)"
        )
    counts = {
        "placebos": (samples.placebos, LEAST_PLACEBOS),
        "samples": (len(samples.regions), LEAST_SAMPLES),
        "pairs of frames": (len(samples.pairs), LEAST_PAIRS),
    }
    for what, (count, least) in counts.items():
        if count < least:
            raise SourceError(
                f"{source}: only {count} {what} in {samples.frames} frames, {least} are needed; "
                "give a longer recording, with textured static objects between 4 and 40 m"
            )


def _pair_rate(samples: list[PairSample], thresholds: Thresholds) -> Rate:
    pairs = np.array([(sample.rotation, sample.translation) for sample in samples])
    moving = np.any(pairs > (thresholds.rotation, thresholds.translation), axis=1)
    return rate(moving, [sample.stamp_ns // _BLOCK_NS for sample in samples])


def _text(thresholds: Thresholds) -> str:
    return f"gate_rotation {thresholds.rotation:g}, gate_translation {thresholds.translation:g}"
