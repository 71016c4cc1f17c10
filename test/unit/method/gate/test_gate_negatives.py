# SPDX-License-Identifier: Apache-2.0
"""The object gate where nothing should move: parked rows, deleted movers, time reversed.

On the synthetic street with exact depth and labels, so that every error is the gate's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_streams import ROAD, STEP, play, retimed, shots

from depth_recog.evaluation.gate import GateTally
from depth_recog.evaluation.motion import PARKED, motion_of

FRAMES = 30
MOST = 0.2
"""Share of the parked tracks' frames; measured: 0.00 to 0.11 (seven tracks a scene)."""


def tallied(
    scene: str, reverse: bool = False, deleted: bool = False, **settings: Any
) -> dict[str, Any]:
    """The gate's figures for a scene; `deleted` movers are road, and have no box."""
    given = list(shots(scene, 0, FRAMES, seed=31))
    if deleted:
        for i, shot in enumerate(given):
            labels = np.where(shot.moving, np.uint8(ROAD), shot.labels)
            boxes = tuple(box for box in shot.boxes if motion_of(box) == PARKED)
            given[i] = replace(shot, labels=labels, boxes=boxes)
    given = retimed(given[::-1] if reverse else given, (i * STEP for i in range(FRAMES)))
    tally = GateTally()
    for shot, step in zip(given, play(given, **settings), strict=True):
        seen = step.moving, step.frame.dynamic, shot.boxes, shot.camera, step.scores
        tally.add(shot.stamp_ns, *seen)
    return tally.result()


def value(figures: dict[str, Any], name: str) -> float:
    return float(figures[name]["value"])


@pytest.fixture(scope="module")
def forward() -> dict[str, Any]:
    return tallied("oncoming")


def test_it_finds_movers_at_all(forward: dict[str, Any]) -> None:
    """Without this the negatives below would mean nothing."""
    assert forward["moving_tracks"] >= 2
    assert value(forward, "recall") > 0.35
    assert value(forward, "auc") > 0.75
    assert value(forward, "false_positive_rate") < MOST


def test_nothing_moves_among_parked_cars() -> None:
    parked = tallied("parked")
    assert parked["parked_tracks"] >= 4
    assert value(parked, "false_positive_rate") < MOST


def test_with_the_movers_deleted_nothing_moves() -> None:
    """They are in the image but not in the mask: the static pose must not follow them."""
    deleted = tallied("oncoming", deleted=True)
    assert deleted["moving_tracks"] == 0
    assert deleted["parked_tracks"] >= 4
    assert value(deleted, "false_positive_rate") < MOST


def test_movers_move_in_reverse_too(forward: dict[str, Any]) -> None:
    backward = tallied("oncoming", reverse=True)
    assert value(backward, "recall") > value(forward, "recall") - 0.2
    assert value(backward, "false_positive_rate") < MOST


def test_off_and_all() -> None:
    off, everything = tallied("oncoming", gate="off"), tallied("oncoming", gate="all")
    assert value(off, "recall") == value(off, "false_positive_rate") == 0
    assert value(everything, "recall") > 0.9
    assert value(everything, "false_positive_rate") > 0.9
