# SPDX-License-Identifier: Apache-2.0
"""Maps of the gate's decisions on which every pixel was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from constructed import FIRST_NS, STEP_NS, thing
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.evaluation.gate import GateTally, visible_regions
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(320, 96, 200.0, 200.0, 159.5, 47.5)
STILL, UNDECIDED, MOVING = 0, 1, 2
FIGURES = ("auc", "recall", "recall_prompt", "false_positive_rate", "undecided")

Say = Callable[[Box, int], int]


def scene(parked: int = 2, moving: int = 2) -> list[Box]:
    """Things of 60 x 40 pixels side by side."""
    kinds = [("m", 3.0)] * moving + [("p", 0.1)] * parked
    places = np.linspace(-6, 6, len(kinds))
    return [
        thing(f"{kind}{i}", speed, (float(x), 0.0, 11.0), (3.0, 2.0, 2.0))
        for i, ((kind, speed), x) in enumerate(zip(kinds, places, strict=True))
    ]


def painted(boxes: Iterable[Box], say: Say, frame: int) -> NDArray[np.uint8]:
    """A map of decisions, constant within the outline of each box."""
    image = np.zeros((96, 320), np.uint8)
    for box, (rows, columns) in visible_regions(tuple(boxes), CAMERA):
        image[rows, columns] = say(box, frame)
    return image


def scores_of(
    boxes: Iterable[Box], score: Callable[[Box, int], float], frame: int
) -> NDArray[np.float32]:
    """A map of scores; a third of each box's pixels has no features, thus no score."""
    scores = np.full((96, 320), np.nan, np.float32)
    for box, (rows, columns) in visible_regions(tuple(boxes), CAMERA):
        scores[rows, columns] = score(box, frame)
        scores[rows[::3], columns[::3]] = np.nan
    return scores


def judged(
    say: Say,
    boxes: Callable[[int], list[Box]] = lambda frame: scene(),
    frames: int = 8,
    dynamic: bool = True,
    score: Callable[[Box, int], float] | None = None,
) -> dict[str, Any]:
    tally = GateTally()
    for i in range(frames):
        now = boxes(i)
        maps = painted(now, say, i), np.full((96, 320), dynamic)
        scores = None if score is None else scores_of(now, score, i)
        tally.add(FIRST_NS + i * STEP_NS, *maps, tuple(now), CAMERA, scores)
    return tally.result()


def values(result: dict[str, Any]) -> dict[str, float]:
    return {name: result[name]["value"] for name in FIGURES}


def right(box: Box, frame: int) -> int:
    return MOVING if box.speed > 1 else STILL
