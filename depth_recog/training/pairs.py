# SPDX-License-Identifier: Apache-2.0
"""Block 101 for training: which frames teach, and which neighbours they are compared with.

Neighbours are chosen by parallax: the median displacement of static features, without what the
camera's rotation contributes where its poses are known. A baseline in metres would be right for one
kind of scene only: 0.8 m is a street's, at 2 m indoors it is most of the picture.
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
from depth_recog.training.prepared import Prepared

TARGET = (LEAST_MOTION * MOST_MOTION) ** 0.5
"""The best median motion, as a share of the image's width: the middle of what a live pair has."""

LEAST = LEAST_MOTION / 2
"""Below this the error of a pixel hardly depends on its depth."""

MOST_FRAMES = 15
# Fewer features than this share found again: the picture was cut, not moved.
_LEAST_FOUND = 0.15
_LEAST_STATIC = 8

USED = "used"
STILL = "left out: too little parallax"
ALONE = "left out: no neighbour on both sides (an end, a cut, a gap in time)"


@dataclass(frozen=True)
class Sample:
    """A frame and its two neighbours.

    Attributes:
        index: the frame.
        before: an earlier frame.
        after: a later one.
    """

    index: int
    before: int
    after: int


def choose_samples(
    frames: Prepared, rules: PresetRules, longest_gap: float
) -> tuple[list[Sample], Counter[str]]:
    """Every frame that has a neighbour with parallax on both sides, and counts of all frames.

    Args:
        frames: of one recording.
        rules: what can move; features there are not asked.
        longest_gap: between neighbours, seconds.
    """
    table = motions(frames, rules, longest_gap)
    later: list[dict[int, float]] = [{} for _ in range(len(frames))]
    earlier: list[dict[int, float]] = [{} for _ in range(len(frames))]
    for (i, j), motion in table.items():
        later[i][j] = motion
        earlier[j][i] = motion
    samples = []
    counts: Counter[str] = Counter({USED: 0, STILL: 0, ALONE: 0})
    for index in range(len(frames)):
        before, after = _best(earlier[index]), _best(later[index])
        if before is not None and after is not None:
            samples.append(Sample(index, before, after))
            counts[USED] += 1
        elif earlier[index] and later[index]:
            counts[STILL] += 1
        else:
            counts[ALONE] += 1
    return samples, counts


def _best(candidates: dict[int, float]) -> int | None:
    moved = {frame: motion for frame, motion in candidates.items() if motion >= LEAST}
    if not moved:
        return None
    return min(moved, key=lambda frame: abs(np.log(moved[frame] / TARGET)))


def motions(
    frames: Prepared, rules: PresetRules, longest_gap: float
) -> dict[tuple[int, int], float]:
    """Median parallax of pairs (i, j), i < j, as a share of the width, up to `MOST_MOTION`.

    A cut, a gap in time or another camera ends what a frame can be paired with.
    """
    greys = [cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY) for image in frames.images]
    static = [~rules.dynamic_pixels(np.asarray(labels)) for labels in frames.labels]
    width = frames.size[0]
    table: dict[tuple[int, int], float] = {}
    for i, grey in enumerate(greys):
        features = find_features(np.asarray(grey, np.uint8), ~static[i])
        for j in range(i + 1, min(i + 1 + MOST_FRAMES, len(frames))):
            apart = int(frames.stamps[j] - frames.stamps[i]) / 1e9
            before = int(frames.stamps[j] - frames.stamps[j - 1])
            if not 0 < apart <= longest_gap or before <= 0:
                break
            if not np.array_equal(frames.intrinsics[i], frames.intrinsics[j]):
                break
            found = optical_flow(
                np.asarray(grey, np.uint8), np.asarray(greys[j], np.uint8), features
            )
            if found.tried and len(found) < _LEAST_FOUND * found.tried:
                break
            found = found.within(static[i], static[j])
            motion = 0.0
            if len(found) >= _LEAST_STATIC:
                motion = _parallax(frames, i, j, found) / width
            table[i, j] = motion
            if motion > MOST_MOTION:
                break
    return table


def _parallax(frames: Prepared, i: int, j: int, found: Correspondences) -> float:
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
