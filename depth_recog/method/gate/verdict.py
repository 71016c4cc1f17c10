# SPDX-License-Identifier: Apache-2.0
"""From what is known of a frame's features to what is said of its regions and pixels."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate import evidence, regions
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.evidence import Evidence
from depth_recog.method.gate.regions import FEATURELESS, GateResult, Region
from depth_recog.method.gate.residual import Float
from depth_recog.method.observation import Observation


class Known(NamedTuple):
    """Of N features on what could move.

    Attributes:
        evidence: of each feature's pool.
        along: (3,) unit vector in which the camera goes, see `evidence.speed_priors`.
        scores: (N,), NaN where nothing was measured.
        states: (N,) uint8 `Motion`.
        region_ids: (N,) int64, of their regions.
        blind: why nothing could be measured in this frame; empty where it could.
    """

    evidence: Evidence
    along: Float
    scores: Float
    states: NDArray[np.uint8]
    region_ids: NDArray[np.int64]
    blind: str = ""


class _Measured(NamedTuple):
    """Of R regions: scores (R,), velocities (R, 3) and their deviations, NaN where unknown."""

    score: Float
    velocity: Float
    deviation: Float


def gate_result_of(
    frame: Observation,
    classes: tuple[str, ...],
    nearest: NDArray[np.int32],
    known: Known,
    threshold: float,
) -> GateResult:
    """Regions and their pixels.

    Args:
        frame: the frame.
        classes: names of the preset objects.
        nearest: (h, w) the feature that speaks for each pixel, -1 for none.
        known: of the features.
        threshold: of scores.
    """
    pixels = np.flatnonzero(frame.dynamic)
    names, first, of_feature = np.unique(known.region_ids, return_index=True, return_inverse=True)
    # One more place, the last, is for pixels that no feature speaks for. Two bytes sort fastest.
    of_pixel = np.append(of_feature, len(names)).astype(np.uint16)[nearest.ravel()[pixels]]
    motions = np.append(known.states[first], np.uint8(Motion.UNDECIDED))
    measured = _measured(known, of_feature, len(names))
    region_ids = np.full(nearest.shape, FEATURELESS, np.int32)
    region_ids.ravel()[pixels] = np.append(names, FEATURELESS)[of_pixel]
    moving = np.zeros(nearest.shape, np.uint8)
    moving.ravel()[pixels] = motions[of_pixel]
    scores = np.full(nearest.shape, np.nan, np.float32)
    scores.ravel()[pixels] = np.append(measured.score, np.nan)[of_pixel]
    likeliest = _most_frequent(frame.labels.ravel()[pixels], of_pixel, len(names))
    features = np.bincount(of_feature)
    rows, columns = np.divmod(pixels[np.argsort(of_pixel, kind="stable")], nearest.shape[1])
    ends = np.bincount(of_pixel, minlength=len(names)).cumsum()[: len(names)].tolist()
    found = []
    for i, (start, end) in enumerate(pairwise([0, *ends])):
        if start == end:
            continue  # another region's features lie on the same pixels
        own = slice(start, end)
        motion, score = Motion(int(motions[i])), float(measured.score[i])
        region = Region(
            int(names[i]),
            classes[likeliest[i]],
            end - start,
            int(features[i]),
            motion,
            score,
            _reason(score, motion, threshold) or known.blind or _few(int(features[i])),
            measured.velocity[i],
            measured.deviation[i],
            *regions.extent(frame.gate_depth, rows[own], columns[own], frame.camera),
        )
        found.append(region)
    return GateResult(tuple(found), region_ids, moving, scores)


def _most_frequent(labels: NDArray[np.uint8], regions: NDArray[np.uint16], count: int) -> list[int]:
    """The label that most of each region's pixels have."""
    table = np.bincount(256 * regions.astype(np.intp) + labels, minlength=256 * count)
    return [int(label) for label in table[: 256 * count].reshape(-1, 256).argmax(1)]


def _measured(known: Known, of_feature: NDArray[np.intp], count: int) -> _Measured:
    """Of each region the median score, and the velocity that the mean of the evidence says."""
    answer = _Measured(
        np.full(count, np.nan), np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    )
    seen = np.flatnonzero(np.isfinite(known.scores))
    if not len(seen):
        return answer
    seen = seen[np.lexsort((known.scores[seen], of_feature[seen]))]
    which, starts, sizes = np.unique(of_feature[seen], return_index=True, return_counts=True)
    middle = known.scores[seen[[starts + (sizes - 1) // 2, starts + sizes // 2]]]
    velocity, covariance = evidence.velocity(
        np.add.reduceat(known.evidence.information[seen], starts) / sizes[:, None, None],
        np.add.reduceat(known.evidence.vector[seen], starts) / sizes[:, None],
        known.along,
    )
    answer.score[which] = middle.mean(0)
    answer.velocity[which] = velocity
    answer.deviation[which] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return answer


def _few(features: int) -> str:
    return f"{features} features, too few displacements"


def _reason(score: float, motion: Motion, threshold: float) -> str:
    if np.isnan(score):
        return ""
    if score > threshold:
        return f"score {score:.1f} above {threshold:g}"
    if score < -threshold:
        return f"score {score:.1f} below {-threshold:g}"
    stays = "" if motion is Motion.UNDECIDED else f": stays {motion.name.lower()}"
    return f"score {score:.1f} between {-threshold:g} and {threshold:g}{stays}"
