# SPDX-License-Identifier: Apache-2.0
"""From what is known of a frame's features to what is said of its regions and pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method import evidence, regions
from depth_recog.method.evidence import Evidence
from depth_recog.method.gate_image import Motion
from depth_recog.method.observation import Observation
from depth_recog.method.regions import FEATURELESS, Region, Verdict
from depth_recog.method.residual import Float


class Known(NamedTuple):
    """Of N features on what could move.

    Attributes:
        evidence: of each feature's pool.
        along: (3,) unit vector in which the camera goes, or None.
        scores: (N,), NaN where nothing was measured.
        states: (N,) uint8 `Motion`.
        numbers: (N,) int64, of their regions.
    """

    evidence: Evidence
    along: Float | None
    scores: Float
    states: NDArray[np.uint8]
    numbers: NDArray[np.int64]


class _Measured(NamedTuple):
    """Of one region: score, velocity and its deviation."""

    score: float
    velocity: Float
    deviation: Float


_NOTHING = _Measured(float("nan"), np.full(3, np.nan), np.full(3, np.nan))


def verdict_of(
    frame: Observation,
    classes: tuple[str, ...],
    nearest: NDArray[np.int32],
    known: Known,
    threshold: float,
) -> Verdict:
    """Regions and their pixels.

    Args:
        frame: the frame.
        classes: names of the preset objects.
        nearest: (h, w) the feature that speaks for each pixel, -1 for none.
        known: of the features.
        threshold: of scores.
    """
    rows, columns = np.nonzero(frame.dynamic)
    # The last entry is for pixels that no feature speaks for.
    owners = np.append(known.numbers, FEATURELESS)[nearest[rows, columns]]
    numbers = np.full(nearest.shape, FEATURELESS, np.int32)
    numbers[rows, columns] = owners
    moving = np.zeros(nearest.shape, np.uint8)
    moving[rows, columns] = Motion.UNDECIDED
    scores = np.full(nearest.shape, np.nan, np.float32)
    order = np.argsort(owners, kind="stable")
    names, starts = np.unique(owners[order], return_index=True)
    ends = np.append(starts, len(order))[1:]
    measured = _measured(known)
    found = []
    for name, start, end in zip(names, starts, ends, strict=True):
        if name == FEATURELESS:
            continue
        pixels = rows[order[start:end]], columns[order[start:end]]
        own = np.flatnonzero(known.numbers == name)
        motion = Motion(int(known.states[own[0]]))
        of_it = measured.get(int(name), _NOTHING)
        centre, size = regions.extent(frame.gate_depth, *pixels, frame.camera)
        region = Region(
            int(name),
            classes[int(np.bincount(frame.labels[pixels]).argmax())],
            len(pixels[0]),
            len(own),
            motion,
            of_it.score,
            _reason(of_it.score, motion, threshold, len(own)),
            of_it.velocity,
            of_it.deviation,
            centre,
            size,
        )
        moving[pixels] = motion
        scores[pixels] = region.score
        found.append(region)
    return Verdict(tuple(found), numbers, moving, scores)


def _measured(known: Known) -> dict[int, _Measured]:
    """By number: median score, and the velocity that the mean of the evidence says."""
    seen = np.isfinite(known.scores)
    names = np.unique(known.numbers[seen])
    if not len(names):
        return {}
    own = [np.flatnonzero(seen & (known.numbers == name)) for name in names]
    velocities, covariances = evidence.velocity(
        np.stack([known.evidence.information[i].mean(0) for i in own]),
        np.stack([known.evidence.vector[i].mean(0) for i in own]),
        known.along,
    )
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return {
        int(name): _Measured(float(np.median(known.scores[i])), velocity, deviation)
        for name, i, velocity, deviation in zip(names, own, velocities, deviations, strict=True)
    }


def _reason(score: float, motion: Motion, threshold: float, features: int) -> str:
    if np.isnan(score):
        return f"{features} features, too few displacements"
    if score > threshold:
        return f"score {score:.1f} above {threshold:g}"
    if score < -threshold:
        return f"score {score:.1f} below {-threshold:g}"
    stays = "" if motion is Motion.UNDECIDED else f": stays {motion.name.lower()}"
    return f"score {score:.1f} between {-threshold:g} and {threshold:g}{stays}"
