# SPDX-License-Identifier: Apache-2.0
"""Thresholds now and as found, with their rates of false positives; as a table and for ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from depth_recog.calibration.null_samples import LiteralSample, NullSamples, Sample
from depth_recog.calibration.thresholds import (
    LEAST_SCORE,
    Rate,
    literal_thresholds,
    rate,
    score_threshold,
)
from depth_recog.errors import SourceError
from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.settings import Settings

LEAST_PLACEBOS, LEAST_SAMPLES, LEAST_PAIRS = 20, 150, 30
"""Fewer say nothing of a tail."""

QUANTILES = (0.5, 0.9, 0.95, 0.99)

# Pairs that share a placebo are no independent witnesses; so long does one live.
_BLOCK_NS = 1_500_000_000

Measure = Callable[[Settings, str], NullSamples]
"""A pass over the recording with these settings, and what people are told of it."""


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        frames: of the recording.
        at_rest: how many of them do not count, since the camera stood.
        placebos: how many have samples.
        samples: of the gate by object: placebos in frames.
        pairs: of the literal gate.
        scores: quantiles of the scores, by `QUANTILES`.
        undecided: share of the samples that are called undecided now.
        threshold_now: of scores.
        threshold: as found.
        object_now: false positives with the former.
        object_found: with the latter.
        literal_now: thresholds of the literal gate.
        literal: as found.
        image_now: false positives with the former.
        image_found: with the latter.
    """

    frames: int
    at_rest: int
    placebos: int
    samples: int
    pairs: int
    scores: dict[str, float]
    undecided: float
    threshold_now: float
    threshold: float
    object_now: Rate
    object_found: Rate
    literal_now: Thresholds
    literal: Thresholds
    image_now: Rate
    image_found: Rate

    def table(self) -> str:
        """As people read it."""
        quantiles = ", ".join(f"{q} {value:.1f}" for q, value in self.scores.items())
        now, found = self.literal_now, self.literal
        least = ", the least allowed" if self.threshold == LEAST_SCORE else ""
        return "\n".join(
            (
                f"{self.frames} frames, {self.at_rest} of them at rest and left out",
                f"gate object: {self.samples} samples of {self.placebos} placebos, "
                f"quantiles of their scores: {quantiles}; undecided {self.undecided:.1%}",
                f"gate image: {self.pairs} pairs",
                "",
                f"{'':36}called moving (95 % interval)",
                _row("gate_threshold", "now", f"{self.threshold_now:g}", self.object_now),
                _row("", "found", f"{self.threshold:g}", self.object_found) + least,
                _row("gate_rotation,", "now", _two(now), self.image_now),
                _row("gate_translation", "found", _two(found), self.image_found),
            )
        )

    def parameters(self, origin: str) -> str:
        """A ROS parameters file for the depth node."""
        # A line break in a name must not end the comment.
        return (
            f"# The gate's thresholds, found by depth-recog calibrate: {' '.join(origin.split())}\n"
            "/**:\n"
            "  ros__parameters:\n"
            f"    gate_threshold: {self.threshold!r}\n"
            f"    gate_rotation: {self.literal.rotation!r}\n"
            f"    gate_translation: {self.literal.translation!r}\n"
        )


def calibrated(measure: Measure, settings: Settings, quantile: float, source: str) -> Calibration:
    """Find thresholds with which 1 - quantile of the placebos' samples are called moving.

    The false positives of a new threshold of the gate by object are measured in a second pass: a
    threshold decides feature by feature, and with it which features make a region.

    Args:
        measure: makes a pass; the same placebos every time.
        settings: of the gate by object, with the thresholds of now.
        quantile: 0..1.
        source: its name, for errors.

    Raises:
        SourceError: too little was measured.
    """
    null = measure(settings, "measuring")
    _check(null, source)
    threshold = score_threshold(null.regions, quantile)
    literal = literal_thresholds(null.pairs, quantile)
    again = null
    if threshold != settings.score_threshold:
        again = measure(replace(settings, score_threshold=threshold), "checking")
    scores = np.quantile([sample.score for sample in null.regions], QUANTILES)
    return Calibration(
        frames=null.frames,
        at_rest=null.at_rest,
        placebos=_placebos(null),
        samples=len(null.regions),
        pairs=len(null.pairs),
        scores={f"{q:g}": float(value) for q, value in zip(QUANTILES, scores, strict=True)},
        undecided=float(np.mean([s.motion is Motion.UNDECIDED for s in null.regions])),
        threshold_now=settings.score_threshold,
        threshold=threshold,
        object_now=_of_regions(null.regions),
        object_found=_of_regions(again.regions),
        literal_now=settings.thresholds,
        literal=literal,
        image_now=_of_pairs(null.pairs, settings.thresholds),
        image_found=_of_pairs(null.pairs, literal),
    )


def _check(null: NullSamples, source: str) -> None:
    if null.at_rest > null.frames / 2:
        raise SourceError(
            f"{source}: the camera stands in {null.at_rest} of {null.frames} frames, and a camera "
            "at rest sees no error of depth: give a recording of a drive, or its part (--frames)"
        )
    counts = {
        "placebos": (_placebos(null), LEAST_PLACEBOS),
        "samples": (len(null.regions), LEAST_SAMPLES),
        "pairs of frames": (len(null.pairs), LEAST_PAIRS),
    }
    for what, (count, least) in counts.items():
        if count < least:
            raise SourceError(
                f"{source}: {count} {what} in {null.frames} frames, {least} are needed: give a "
                "longer recording, with textured things between 4 and 40 m that stand still"
            )


def _placebos(null: NullSamples) -> int:
    return len({sample.placebo for sample in null.regions})


def _of_regions(samples: list[Sample]) -> Rate:
    moving = np.array([sample.motion is Motion.MOVING for sample in samples])
    return rate(moving, [sample.placebo for sample in samples])


def _of_pairs(samples: list[LiteralSample], thresholds: Thresholds) -> Rate:
    moving = np.array(
        [
            sample.rotation > thresholds.rotation or sample.translation > thresholds.translation
            for sample in samples
        ]
    )
    return rate(moving, [sample.stamp_ns // _BLOCK_NS for sample in samples])


def _row(name: str, which: str, value: str, rate: Rate) -> str:
    share = f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
    return f"{name:<18}{which:<6}{value:<12}{share}"


def _two(thresholds: Thresholds) -> str:
    return f"{thresholds.rotation:g}, {thresholds.translation:g}"
