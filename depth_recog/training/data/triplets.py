# SPDX-License-Identifier: Apache-2.0
"""Block 101 for training: frames with an earlier and a later neighbour to compare them with.

Neighbours are chosen by parallax: the median displacement of static features, without the part that
the camera's rotation explains where poses are recorded. A fixed baseline in metres would not suit
every scene: 0.8 m is right on a street; indoors, at 2 m, it moves most of the image out of view.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.masking import PresetRules
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.partner import LEAST_MOTION, MOST_MOTION
from depth_recog.method.tracking.tracks import Correspondences, optical_flow
from depth_recog.training.data.prepared import PreparedFrames

TARGET = (LEAST_MOTION * MOST_MOTION) ** 0.5
"""The preferred median displacement, as a share of the image's width: the geometric mean of the
limits for pairs in the live pipeline."""

LEAST = LEAST_MOTION / 2
"""Least median displacement: below it the photometric error hardly depends on depth."""

MOST_FRAMES = 15
_LEAST_FOUND = 0.15
"""Where a smaller share of the features is found again, the recording was cut."""
_LEAST_STATIC = 8

USED = "used"
STILL = "left out: too little parallax"
ALONE = "left out: no neighbour on both sides (an end, a cut, a gap in time)"


@dataclass(frozen=True)
class Triplet:
    """Indices of a frame, of its earlier and of its later neighbour."""

    index: int
    before: int
    after: int


def choose_triplets(
    frames: PreparedFrames,
    rules: PresetRules,
    longest_gap: float,
    seen: NDArray[np.bool_] | None = None,
) -> tuple[list[Triplet], Counter[str]]:
    """Choose every frame that has a neighbour with parallax on both sides.

    Args:
        frames: the frames of one recording.
        rules: say which pixels are dynamic; features there are not used.
        longest_gap: longest time between neighbours, seconds.
        seen: (H, W) bool, pixels that the camera has seen in all frames; None for all.

    Returns:
        The triplets, and how many frames were used or left out, by reason.
    """
    table = parallax_table(frames, rules, longest_gap, seen)
    later: list[dict[int, float]] = [{} for _ in range(len(frames))]
    earlier: list[dict[int, float]] = [{} for _ in range(len(frames))]
    for (i, j), parallax in table.items():
        later[i][j] = earlier[j][i] = parallax
    triplets = []
    counts: Counter[str] = Counter({USED: 0, STILL: 0, ALONE: 0})
    for index in range(len(frames)):
        before, after = _best(earlier[index]), _best(later[index])
        if before is not None and after is not None:
            triplets.append(Triplet(index, before, after))
            counts[USED] += 1
        else:
            counts[STILL if earlier[index] and later[index] else ALONE] += 1
    return triplets, counts


def _best(candidates: dict[int, float]) -> int | None:
    """The frame whose parallax is nearest to `TARGET`, by ratio."""
    moved = {frame: parallax for frame, parallax in candidates.items() if parallax >= LEAST}
    if not moved:
        return None
    return min(moved, key=lambda frame: abs(np.log(moved[frame] / TARGET)))


def parallax_table(
    frames: PreparedFrames,
    rules: PresetRules,
    longest_gap: float,
    seen: NDArray[np.bool_] | None = None,
) -> dict[tuple[int, int], float]:
    """Median parallax of pairs (i, j), i < j, as a share of the width, up to `MOST_MOTION`.

    No pair spans a cut, a gap in time or a change of the camera. Arguments: see `choose_triplets`.
    """
    greys = [
        np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY), np.uint8)
        for image in frames.images
    ]
    dynamic = [rules.dynamic_pixels(np.asarray(labels)) for labels in frames.labels]
    static = [~pixels if seen is None else ~pixels & seen for pixels in dynamic]
    width = frames.size[0]
    table: dict[tuple[int, int], float] = {}
    for i, grey in enumerate(greys):
        features = find_features(grey, dynamic[i], ~static[i])
        for j in range(i + 1, min(i + 1 + MOST_FRAMES, len(frames))):
            apart = int(frames.stamps[j] - frames.stamps[i]) / 1e9
            step = int(frames.stamps[j] - frames.stamps[j - 1])
            if not 0 < apart <= longest_gap or step <= 0:
                break
            if not np.array_equal(frames.intrinsics[i], frames.intrinsics[j]):
                break
            found = optical_flow(grey, greys[j], features)
            if found.tried and len(found) < _LEAST_FOUND * found.tried:
                break
            found = found.within(static[i], static[j])
            enough = len(found) >= _LEAST_STATIC
            table[i, j] = _parallax(frames, i, j, found) / width if enough else 0.0
            if table[i, j] > MOST_MOTION:
                break
    return table


def _parallax(frames: PreparedFrames, i: int, j: int, found: Correspondences) -> float:
    """Median displacement in pixels, without that of the rotation where it was recorded."""
    motion = frames.motion(i, j)
    if not np.isfinite(motion).all():
        return found.median_motion
    k = frames.intrinsics[i]
    turned = k @ motion[:3, :3] @ np.linalg.inv(k)
    ones = np.ones((len(found), 1))
    seen: NDArray[np.float64] = np.concatenate((found.first, ones), 1) @ turned.T
    rest = found.second - seen[:, :2] / seen[:, 2:]
    return float(np.median(np.linalg.norm(rest, axis=1)))
