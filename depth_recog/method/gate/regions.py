# SPDX-License-Identifier: Apache-2.0
"""From the decisions on a frame's features to its regions and their pixels.

A semantic mask does not separate objects: a car that passes a parked one forms one component with
it. So neighbouring features on a component are linked if they have the same decision, each set of
linked features is a region, and each pixel of the component belongs to the nearest feature's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate import evidence
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.evidence import Evidence
from depth_recog.method.gate.result import FEATURELESS, Float, GateResult, Region
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.method.tracking.tracks import nearest_pixels

LINKED = 0.1
"""Two features are linked if their weights for each other are at least this (about two standard
deviations of `evidence.neighbour_weights`)."""


@dataclass(frozen=True)
class Decided:
    """The decisions on N features of one frame.

    Attributes:
        own: evidence of each feature alone.
        pooled: evidence of each feature and its neighbours.
        along: (3,) unit vector of the camera's motion, see `evidence.speed_priors`.
        scores: (N,), NaN if nothing was measured.
        states: (N,) uint8 `Motion`.
        region_ids: (N,) int64.
    """

    own: Evidence
    pooled: Evidence
    along: Float
    scores: Float
    states: NDArray[np.uint8]
    region_ids: NDArray[np.int64]


def linked(
    weights: Float, states: NDArray[np.uint8], components: NDArray[np.int32]
) -> NDArray[np.intp]:
    """Group features that are linked, directly or through others.

    Args:
        weights: (N, N) neighbour weights.
        states: (N,) `Motion` of each feature.
        components: (N,) the connected component of the dynamic mask that each lies on.

    Returns:
        (N,) the smallest index of a feature in the same group.
    """
    count = len(states)
    one, two = np.divmod(np.flatnonzero(weights >= LINKED), max(count, 1))
    same = (states[one] == states[two]) & (components[one] == components[two])
    same &= weights[two, one] >= LINKED
    one, two = one[same], two[same]
    starts = np.searchsorted(one, np.arange(count))
    answer = np.arange(count)
    while True:
        # Each feature takes the smallest index among its neighbours and itself (its weight for
        # itself is 1), then that feature's own smallest index: few rounds suffice.
        least = np.minimum.reduceat(answer[two], starts) if count else answer
        least = least[least]
        if np.array_equal(least, answer):
            return answer
        answer = least


def identified(
    links: NDArray[np.intp], before: NDArray[np.int64], next_region_id: int
) -> tuple[NDArray[np.int64], int]:
    """Give each group of features the region id that most of its features had before.

    The largest group chooses first; a group whose ids are all taken gets a new one.

    Args:
        links: (N,) of `linked`.
        before: (N,) region id of each feature in the previous frame, 0 for none.
        next_region_id: the first id that was never used.

    Returns:
        (N,) region ids, and the next unused one.
    """
    region_ids = np.zeros(len(links), np.int64)
    used: set[int] = set()
    groups, sizes = np.unique(links, return_counts=True)
    for group in groups[np.argsort(-sizes, kind="stable")]:
        own = links == group
        past = before[own]
        votes = Counter(sorted(past[past > 0].tolist())).most_common()
        free = [candidate for candidate, _ in votes if candidate not in used]
        region_id = free[0] if free else next_region_id
        next_region_id += region_id == next_region_id
        used.add(region_id)
        region_ids[own] = region_id
    return region_ids, next_region_id


def spread_over(components: NDArray[np.int32], pixels: NDArray[np.float32]) -> NDArray[np.int32]:
    """Find each pixel's nearest feature on the same component.

    Args:
        components: (H, W) int32 component ids, 0 outside.
        pixels: (N, 2) features (u, v).

    Returns:
        (H, W) int32, index of the feature, -1 if the component has none.
    """
    answer = np.full(components.shape, -1, np.int32)
    u, v = nearest_pixels(pixels, components.shape)
    owners = components[v, u]
    inside = np.flatnonzero(components > 0)
    ids = components.ravel()[inside]
    for component in np.unique(owners[owners > 0]):
        own = np.flatnonzero(owners == component)  # features
        mine = inside[ids == component]  # pixels
        rows, columns = np.divmod(mine, components.shape[1])
        top, left = rows[0], columns.min()
        away = np.ones((rows[-1] + 1 - top, columns.max() + 1 - left), np.uint8)
        away[v[own] - top, u[own] - left] = 0
        _, nearest = cv2.distanceTransformWithLabels(
            away, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        # OpenCV labels the zero pixels in its own way; two features on a pixel share a label.
        table = np.zeros(len(own) + 1, np.int32)
        table[nearest[v[own] - top, u[own] - left]] = own
        answer.ravel()[mine] = table[nearest[rows - top, columns - left]]
    return answer


def gate_result(
    frame: Observation,
    classes: tuple[str, ...],
    nearest: NDArray[np.int32],
    decided: Decided,
    threshold: float,
    blind: str = "",
) -> GateResult:
    """Collect the regions of a frame and their pixels.

    Args:
        frame: the frame.
        classes: names of the preset objects.
        nearest: (h, w) of `spread_over`.
        decided: on the frame's features.
        threshold: of scores.
        blind: why nothing could be measured in this frame; empty if it could.
    """
    pixels = np.flatnonzero(frame.dynamic)
    ids, first, of_feature = np.unique(decided.region_ids, return_index=True, return_inverse=True)
    count = len(ids)
    # Index of each pixel's region; `count` without a feature. Two bytes sort fastest.
    of_pixel = np.append(of_feature, count).astype(np.uint16)[nearest.ravel()[pixels]]
    motions = np.append(decided.states[first], np.uint8(Motion.UNDECIDED))
    scores, velocity, velocity_std = measured(decided, of_feature, count)
    id_map = np.full(nearest.shape, FEATURELESS, np.int32)
    id_map.ravel()[pixels] = np.append(ids, FEATURELESS)[of_pixel]
    moving = np.zeros(nearest.shape, np.uint8)
    moving.ravel()[pixels] = motions[of_pixel]
    score_map = np.full(nearest.shape, np.nan, np.float32)
    score_map.ravel()[pixels] = np.append(scores, np.nan)[of_pixel]
    names = _most_frequent(frame.labels.ravel()[pixels], of_pixel, count)
    features = np.bincount(of_feature)
    rows, columns = np.divmod(pixels[np.argsort(of_pixel, kind="stable")], nearest.shape[1])
    ends = np.bincount(of_pixel, minlength=count).cumsum()[:count].tolist()
    depth = frame.gate_depth
    regions = []
    for i, (start, end) in enumerate(pairwise([0, *ends])):
        if start == end:
            continue  # its features lie on the same pixels as another region's
        own = slice(start, end)
        motion, score, few = Motion(int(motions[i])), float(scores[i]), int(features[i])
        why = _reason(score, motion, threshold) or blind
        region = Region(
            int(ids[i]),
            classes[names[i]],
            end - start,
            few,
            motion,
            score,
            why or f"{few} features, too few displacements",
            velocity[i],
            velocity_std[i],
            *extent(depth, rows[own], columns[own], frame.camera),
        )
        regions.append(region)
    return GateResult(tuple(regions), id_map, moving, score_map)


def _most_frequent(labels: NDArray[np.uint8], regions: NDArray[np.uint16], count: int) -> list[int]:
    """Return the most frequent label among the pixels of each region."""
    table = np.bincount(256 * regions.astype(np.intp) + labels, minlength=256 * count)
    return [int(label) for label in table[: 256 * count].reshape(-1, 256).argmax(1)]


def measured(
    decided: Decided, of_feature: NDArray[np.intp], count: int
) -> tuple[Float, Float, Float]:
    """Return the median score, the velocity and its standard deviations of each region.

    Args:
        decided: on N features.
        of_feature: (N,) index of each feature's region.
        count: R, number of regions.

    Returns:
        (R,), (R, 3) and (R, 3); NaN if no feature of the region was measured.
    """
    score = np.full(count, np.nan)
    velocity, velocity_std = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    seen = np.flatnonzero(np.isfinite(decided.scores))
    if len(seen):
        seen = seen[np.lexsort((decided.scores[seen], of_feature[seen]))]
        which, starts, sizes = np.unique(of_feature[seen], return_index=True, return_counts=True)
        middle = decided.scores[seen[[starts + (sizes - 1) // 2, starts + sizes // 2]]]
        mean, covariance = evidence.velocity(
            np.add.reduceat(decided.pooled.information[seen], starts) / sizes[:, None, None],
            np.add.reduceat(decided.pooled.vector[seen], starts) / sizes[:, None],
            decided.along,
        )
        score[which], velocity[which] = middle.mean(0), mean
        velocity_std[which] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return score, velocity, velocity_std


def extent(
    depth: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], camera: Camera
) -> tuple[Float, Float]:
    """Return centre (3,) and size (3,), camera frame, of the surface at pixels sorted by row."""
    z = np.sort(depth[rows, columns])
    z = z[np.isfinite(z)]
    if not len(z):
        return np.full(3, np.nan), np.full(3, np.nan)
    near, middle, far = (float(z[len(z) * share // 100]) for share in (10, 50, 90))
    left, right = columns.min() - 0.5, columns.max() + 0.5
    top, bottom = rows[0] - 0.5, rows[-1] + 0.5
    u, v = (left + right) / 2, (top + bottom) / 2
    centre = middle * np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
    size = np.array(
        [(right - left) / camera.fx * middle, (bottom - top) / camera.fy * middle, far - near]
    )
    return centre, size


def _reason(score: float, motion: Motion, threshold: float) -> str:
    if np.isnan(score):
        return ""
    if score > threshold:
        return f"score {score:.1f} above {threshold:g}"
    if score < -threshold:
        return f"score {score:.1f} below {-threshold:g}"
    stays = "" if motion is Motion.UNDECIDED else f": stays {motion.name.lower()}"
    return f"score {score:.1f} between {-threshold:g} and {threshold:g}{stays}"
