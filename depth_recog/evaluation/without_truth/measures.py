# SPDX-License-Identifier: Apache-2.0
"""All measures of one pair of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.agreement import (
    Agreement,
    agreement,
    compared,
    row_fit,
)
from depth_recog.evaluation.without_truth.consistency import Flicker, Warp, flicker, warp
from depth_recog.evaluation.without_truth.points import Evidence
from depth_recog.evaluation.without_truth.road import Road, road_of, shows_road

Depth = NDArray[np.float32]


@dataclass(frozen=True)
class Measures:
    """What one pair of frames says about a depth network; None where it says nothing.

    Attributes:
        triangulation: of the depth.
        row_fit: of a quadratic fit of the row to the same points.
        constant: of a constant depth.
        points: number of triangulated points.
        std: mean standard deviation of their log depth.
        flicker: of both depths.
        warp: by the depth.
        warp_row_fit: by the row fit.
        road: of the first frame.
        has_points: whether points could be triangulated; like `has_road`, whatever the depth.
        has_road: whether the first frame shows a road.
        metres: the factor from the depth to metres by the recorded poses; None without them.
    """

    triangulation: Agreement | None = None
    row_fit: Agreement | None = None
    constant: Agreement | None = None
    points: int = 0
    std: float = 0.0
    flicker: Flicker | None = None
    warp: Warp | None = None
    warp_row_fit: Warp | None = None
    road: Road | None = None
    has_points: bool = False
    has_road: bool = False
    metres: float | None = None


def measure(evidence: Evidence, first: Depth, second: Depth) -> Measures:
    """Judge a network's depth of both frames of a pair.

    Args:
        evidence: of the pair.
        first: (h, w) float32, depth of the first frame as the network gives it, before limits.
        second: (h, w) float32, of the second.
    """
    height, width = first.shape
    views = evidence.first.resized(width, height), evidence.second.resized(width, height)
    has_road = shows_road(views[0].road)
    road = road_of(first, views[0].road & views[0].static, views[0].camera)
    points = evidence.points
    if points is None:
        return Measures(road=road, has_road=has_road)
    size = evidence.first.camera.size
    rows = row_fit(points, size[1])
    at_points = np.interp(points.pixels[:, 1], np.arange(size[1]), rows)
    found = agreement(first, points, size)
    metres, changed, projected = None, None, None
    if found is not None:
        T = points.T_second_from_first.copy()
        T[:3, 3] *= found.scale
        changed = flicker(views, (first, second), T)
        projected = warp(views, first, T)
        metres = None if points.metres is None else points.metres / found.scale
    at_rows = (np.arange(height) + 0.5) * size[1] / height - 0.5
    flat = np.repeat(np.interp(at_rows, np.arange(size[1]), rows)[:, None], width, 1)
    return Measures(
        triangulation=found,
        row_fit=compared(at_points, points.depth),
        constant=compared(np.ones(len(points)), points.depth),
        points=len(points),
        std=float(points.std.mean()),
        flicker=changed,
        warp=projected,
        warp_row_fit=warp(views, flat.astype(np.float32), points.T_second_from_first),
        road=road,
        has_points=True,
        has_road=has_road,
        metres=metres,
    )
