# SPDX-License-Identifier: Apache-2.0
"""From features to regions: what the gate by object says of each, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method import evidence, regions
from depth_recog.method.evidence import Evidence
from depth_recog.method.gate_image import Motion
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.regions import FEATURELESS, Region, Verdict
from depth_recog.method.residual import Float


@dataclass(frozen=True)
class Measured:
    """What the displacements say of N features, each with its pool.

    Attributes:
        together: the pools' evidence.
        along: (3,) unit vector in which the camera goes, or None.
        scores: (N,), NaN where a pool has too few displacements.
        states: (N,) uint8 `Motion`.
        numbers: (N,) int64 of their regions.
        blind: why nothing could be measured in this frame; empty where it could.
    """

    together: Evidence
    along: Float | None
    scores: Float
    states: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    blind: str


def verdict_on(
    frame: Observation,
    nearest: NDArray[np.int32],
    measured: Measured,
    rules: PresetRules,
    threshold: float,
) -> Verdict:
    """Regions and their pixels.

    Args:
        frame: what is seen.
        nearest: (h, w) int32, the feature that speaks for a pixel, -1 where none does.
        measured: what is known of the features.
        rules: preset objects.
        threshold: of scores, for the reasons in words.
    """
    rows, columns = np.nonzero(frame.dynamic)
    # The last entry is for pixels that no feature speaks for.
    owners = np.append(measured.numbers, FEATURELESS)[nearest[rows, columns]]
    number_map = np.full(nearest.shape, FEATURELESS, np.int32)
    number_map[rows, columns] = owners
    moving = np.zeros(nearest.shape, np.uint8)
    moving[rows, columns] = Motion.UNDECIDED
    score_map = np.full(nearest.shape, np.nan, np.float32)
    found = []
    order = np.argsort(owners, kind="stable")
    names, starts = np.unique(owners[order], return_index=True)
    ends = np.append(starts, len(order))[1:]
    for number, start, end in zip(names, starts, ends, strict=True):
        if number == FEATURELESS:
            continue
        pixels = rows[order[start:end]], columns[order[start:end]]
        own = np.flatnonzero(measured.numbers == number)
        motion = Motion(int(measured.states[own[0]]))
        region = _region(frame, int(number), motion, pixels, own, measured, rules, threshold)
        moving[pixels] = motion
        score_map[pixels] = region.score
        found.append(region)
    return Verdict(tuple(found), number_map, moving, score_map)


def _region(
    frame: Observation,
    number: int,
    motion: Motion,
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    own: NDArray[np.intp],
    measured: Measured,
    rules: PresetRules,
    threshold: float,
) -> Region:
    score, why = float("nan"), measured.blind or f"{len(own)} features, too few displacements"
    velocity, deviation = np.full(3, np.nan), np.full(3, np.nan)
    known = own[np.isfinite(measured.scores[own])]
    if len(known):
        score = float(np.median(measured.scores[known]))
        why = _reason(score, motion, threshold)
        together = measured.together
        velocity, covariance = evidence.velocity(
            together.information[known].mean(0),
            together.vector[known].mean(0),
            measured.along,
        )
        deviation = np.sqrt(np.diag(covariance))
    centre, size = regions.extent(frame.gate_depth, *pixels, frame.camera)
    return Region(
        number,
        rules.classes[int(np.bincount(frame.labels[pixels]).argmax())],
        len(pixels[0]),
        len(own),
        motion,
        score,
        why,
        velocity,
        deviation,
        centre,
        size,
    )


def _reason(score: float, motion: Motion, limit: float) -> str:
    if score > limit:
        return f"score {score:.1f} above {limit:g}"
    if score < -limit:
        return f"score {score:.1f} below {-limit:g}"
    stays = "" if motion is Motion.UNDECIDED else f": stays {motion.name.lower()}"
    return f"score {score:.1f} between {-limit:g} and {limit:g}{stays}"
