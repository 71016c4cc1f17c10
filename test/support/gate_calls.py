# SPDX-License-Identifier: Apache-2.0
"""The object gate's decisions on each object of a synthetic stream, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from gate_streams import Shot, called

from depth_recog.datasets.boxes import Box
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.pair import Step

LEAST_PIXELS = 150
Calls = dict[str, list[Motion | None]]


def calls_of(
    given: Sequence[Shot], steps: Sequence[Step], truth: Sequence[Shot] | None = None
) -> Calls:
    """Decision of most pixels of each object by frame; None where it is hardly visible."""
    answer: Calls = {}
    for i, (shot, step) in enumerate(zip(truth or given, steps, strict=True)):
        for box in shot.boxes:
            pixels = shot.pixels_of(box) & step.frame.dynamic
            if pixels.sum() >= LEAST_PIXELS:
                answer.setdefault(box.track, [None] * len(steps))[i] = called(step, pixels)
    return answer


def region_ids_of(given: Sequence[Shot], steps: Sequence[Step], track: str) -> list[int]:
    """Id of the region that covers most of an object, frame by frame."""
    answer = []
    for shot, step in zip(given, steps, strict=True):
        box: Box | None = next((b for b in shot.boxes if b.track == track), None)
        if box is None or step.pair is None or step.pair.gate_result is None:
            continue
        pixels = shot.pixels_of(box) & step.frame.dynamic
        if pixels.sum() >= LEAST_PIXELS:
            answer.append(int(np.bincount(step.pair.gate_result.region_ids[pixels]).argmax()))
    return answer


def changes(calls: Sequence[Motion | None]) -> int:
    """Number of changes of a decision, after the first that is not "undecided"."""
    seen = [c for c in calls if c is not None]
    decided = seen[next((i for i, c in enumerate(seen) if c != Motion.UNDECIDED), len(seen)) :]
    return sum(a != b for a, b in pairwise(decided))


def share_of(calls: Calls, motion: Motion) -> float:
    """Share of this decision among all frames of all objects."""
    every = [c for row in calls.values() for c in row if c is not None]
    return sum(c == motion for c in every) / len(every)
