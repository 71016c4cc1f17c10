# SPDX-License-Identifier: Apache-2.0
"""Regions: connected pieces of what could move that agree in depth and in motion, with an identity.

Semantic labels know no instances: a car that passes a parked row is one component with it. So the
features on it are linked to their neighbours where neither depth nor decision changes, and each
group of linked features takes the pixels that are nearest to it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.gate.residual import Float
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.tracking.correspondences import nearest_pixels

LINKED = 0.1
"""Two features are linked if their weights for each other are at least this (about two standard
deviations of `evidence.neighbour_weights`)."""

DEVIATIONS, LEAST_SPEED = 3.0, 0.3
"""Of the published threshold matrix: deviations of tau, and what counts as speed at all (the
depth's unit per second). The matrix is the text's form of the decision; the decision itself is the
score's, which weighs the three elements together."""

FEATURELESS = 0
"""Number of pixels that no feature speaks for."""


@dataclass(frozen=True)
class Region:
    """One piece of what could move, in one frame.

    Attributes:
        region_id: the same in every frame in which it is found again; from 1.
        name: its pixels' most frequent class.
        pixels: how many they are.
        features: how many features speak for it.
        motion: the decision.
        score: twice the log Bayes factor of moving over still; NaN where nothing was measured.
        why: the decision in words.
        velocity: (3,) what it moves relative to the static scene, axes of the camera, the depth's
            unit per second; NaN where nothing was measured.
        deviation: (3,) standard deviations of `velocity`.
        centre: (3,) middle of its visible surface, camera frame, the depth's unit.
        size: (3,) extent along the camera's axes, 10 % of the pixels cut off at each end in depth.
    """

    region_id: int
    name: str
    pixels: int
    features: int
    motion: Motion
    score: float
    why: str
    velocity: Float
    deviation: Float
    centre: Float
    size: Float

    @property
    def speed(self) -> float:
        """Length of `velocity`."""
        return float(np.linalg.norm(self.velocity))

    @property
    def speed_deviation(self) -> float:
        """Standard deviation of `speed`, as if the axes' errors were independent."""
        if not self.speed > 0:
            return float(self.deviation.max())
        return float(np.linalg.norm(self.deviation * self.velocity) / self.speed)


def linked(
    weights: Float, states: NDArray[np.uint8], components: NDArray[np.int32]
) -> NDArray[np.intp]:
    """Which features belong together.

    Args:
        weights: (N, N), `evidence.neighbour_weights`.
        states: (N,) `Motion` of each.
        components: (N,) which connected component of the masks each lies on.

    Returns:
        (N,) the smallest index of the features that each is linked to, directly or by others.
    """
    count = len(states)
    one, two = np.divmod(np.flatnonzero(weights >= LINKED), max(count, 1))
    alike = (states[one] == states[two]) & (components[one] == components[two])
    links = alike & (weights[two, one] >= LINKED)
    one, two = one[links], two[links]
    starts = np.searchsorted(one, np.arange(count))
    answer = np.arange(count)
    while True:
        # Each takes the smallest of its neighbours and itself, which a pool has in it; pointers are
        # followed, so few rounds suffice.
        least = np.minimum.reduceat(answer[two], starts) if count else answer
        least = least[least]
        if np.array_equal(least, answer):
            return answer
        answer = least


def spread_over(components: NDArray[np.int32], pixels: NDArray[np.float32]) -> NDArray[np.int32]:
    """Each pixel's nearest feature on the same component.

    Args:
        components: (H, W) int32, 0 outside, else the connected component's number.
        pixels: (N, 2) features (u, v).

    Returns:
        (H, W) int32, index of the feature, -1 where the component has none.
    """
    answer = np.full(components.shape, -1, np.int32)
    u, v = nearest_pixels(pixels, components.shape)
    owners = components[v, u]
    inside = np.flatnonzero(components > 0)
    numbers = components.ravel()[inside]
    for component in np.unique(owners[owners > 0]):
        own = np.flatnonzero(owners == component)
        mine = inside[numbers == component]
        rows, columns = np.divmod(mine, components.shape[1])
        top, left = rows[0], columns.min()
        away = np.ones((rows[-1] + 1 - top, columns.max() + 1 - left), np.uint8)
        away[v[own] - top, u[own] - left] = 0
        _, nearest = cv2.distanceTransformWithLabels(
            away, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        # OpenCV's own numbers for the zero pixels; two features on a pixel share one.
        table = np.zeros(len(own) + 1, np.int32)
        table[nearest[v[own] - top, u[own] - left]] = own
        answer.ravel()[mine] = table[nearest[rows - top, columns - left]]
    return answer


def identified(
    links: NDArray[np.intp], before: NDArray[np.int64], next_region_id: int
) -> tuple[NDArray[np.int64], int]:
    """Identities: a group of features keeps the number that most of them had.

    Args:
        links: (N,) of `linked`.
        before: (N,) the number that each feature had in the frame before, 0 for none.
        next_region_id: the first number that no region has had.

    Returns:
        (N,) numbers, and the next free one. The largest group with a number keeps it; the other
        groups get new ones.
    """
    numbers = np.zeros(len(links), np.int64)
    used: set[int] = set()
    groups, sizes = np.unique(links, return_counts=True)
    for group in groups[np.argsort(-sizes, kind="stable")]:
        own = links == group
        past = before[own]
        votes = Counter(sorted(past[past > 0].tolist())).most_common()
        free = [candidate for candidate, _ in votes if candidate not in used]
        number = free[0] if free else next_region_id
        next_region_id += number == next_region_id
        used.add(number)
        numbers[own] = number
    return numbers, next_region_id


def extent(
    depth: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], camera: Camera
) -> tuple[Float, Float]:
    """(3,) middle and (3,) size, camera frame, of the surface at these pixels, row by row."""
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


@dataclass(frozen=True)
class GateResult:
    """What the gate says of one frame, region by region.

    Attributes:
        regions: the pieces of what could move.
        region_ids: (h, w) int32, the region's number by pixel; `FEATURELESS` where there is none.
        moving: (h, w) uint8 `Motion` by pixel; undecided where no feature speaks for a pixel that
            could move.
        scores: (h, w) float32, the region's score by pixel; NaN where nothing is known.
    """

    regions: tuple[Region, ...]
    region_ids: NDArray[np.int32]
    moving: NDArray[np.uint8]
    scores: NDArray[np.float32]

    @property
    def likeliest_mover(self) -> Region | None:
        """The region with the highest score; None where nothing was measured."""
        measured = [region for region in self.regions if math.isfinite(region.score)]
        return max(measured, key=lambda region: region.score, default=None)

    @property
    def decision(self) -> Decision:
        """Of the frame as a whole: moving where one region is, still where all are."""
        most = Motion(int(self.moving.max()))
        if most is Motion.STILL and not self.regions:
            return Decision(most, "no pixel of a dynamic category")
        alike = [region for region in self.regions if region.motion is most]
        if not alike:
            return Decision(most, "what could move has no features")
        region = max(alike, key=lambda r: (0.0 if math.isnan(r.score) else r.score, r.pixels))
        return Decision(most, f"{region.name} {region.region_id}: {region.why}")

    def dynamic_pose(self, static: PoseEstimate, seconds: float) -> PoseEstimate:
        """[R_s | t_s + tau], the text's dynamic pose, of the likeliest mover."""
        region = self.likeliest_mover
        if region is None:
            return PoseEstimate(why="nothing that could move was measured")
        if not static.ok:
            return PoseEstimate(why=f"no static pose: {static.why}")
        matrix = static.T_second_from_first.copy()
        matrix[:3, 3] += region.velocity * seconds
        return PoseEstimate(matrix, True, "", region.features, region.features)

    def thresholds(self, seconds: float) -> Matrix:
        """(4, 4): `DEVIATIONS` of tau and a least speed; rotation and the fourth row never fire."""
        matrix = np.full((4, 4), np.inf)
        region = self.likeliest_mover
        if region is not None:
            matrix[:3, 3] = (DEVIATIONS * region.deviation + LEAST_SPEED) * seconds
        return matrix
