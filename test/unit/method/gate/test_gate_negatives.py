# SPDX-License-Identifier: Apache-2.0
"""The object gate where nothing should move: parked rows, deleted movers, time reversed.

On the synthetic street with exact depth and labels, so that every error is the gate's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.evaluation.gate import GateTally
from depth_recog.evaluation.motion import PARKED, motion_of
from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings

FRAMES = 30
# Of parked tracks' frames; measured: 0.00 to 0.11 (seven tracks a scene).
MOST = 0.2
ROAD = CITYSCAPES.index("road")


class Exact:
    """Networks that know the truth of the frame that is shown."""

    depth_map: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def depth(self, image: Tensor, focal: Tensor) -> Tensor:
        return torch.from_numpy(np.minimum(self.depth_map, 1000))[None, None]

    def scores(self, image: Tensor) -> Tensor:
        classes = torch.from_numpy(self.labels).long()
        return torch.nn.functional.one_hot(classes, len(CITYSCAPES)).permute(2, 0, 1)[None].float()


@cache
def filmed(scene: str) -> list[tuple[Frame, Truth]]:
    """Every scene is drawn once."""
    street = SyntheticStreet(scene, seed=31, frames=FRAMES)
    return [(street[i], street.truth(i)) for i in range(FRAMES)]


def said(
    scene: str, reverse: bool = False, deleted: bool = False, **settings: Any
) -> dict[str, Any]:
    """The gate's figures for a scene, by track; frames in reverse have rising stamps."""
    film = filmed(scene)
    exact = Exact()
    recognizer = Recognizer(
        exact.depth, exact.scores, PnpEstimator(), Settings(**settings), torch.device("cpu")
    )
    tally = GateTally()
    order = range(FRAMES)
    for stamp, index in enumerate(reversed(order) if reverse else order):
        frame, truth = film[index]
        assert truth.depth is not None
        assert truth.labels is not None
        assert truth.moving is not None
        assert truth.boxes is not None
        boxes = truth.boxes
        exact.depth_map, exact.labels = truth.depth, truth.labels.copy()
        if deleted:
            exact.labels[truth.moving] = ROAD
            boxes = tuple(box for box in boxes if motion_of(box) == PARKED)
        stamp_ns = stamp * 100_000_000
        step = recognizer.step(frame.name, stamp_ns, frame.image, frame.camera)
        tally.add(stamp_ns, step.moving, step.frame.dynamic, boxes, frame.camera, step.scores)
    return tally.result()


def value(figures: dict[str, Any], name: str) -> float:
    return float(figures[name]["value"])


@pytest.fixture(scope="module")
def forward() -> dict[str, Any]:
    return said("oncoming")


def test_it_finds_movers_at_all(forward: dict[str, Any]) -> None:
    """Without this the negatives below would mean nothing."""
    assert forward["moving_tracks"] >= 2
    assert value(forward, "recall") > 0.35
    assert value(forward, "auc") > 0.75
    assert value(forward, "false_positive_rate") < MOST


def test_nothing_moves_among_parked_cars() -> None:
    parked = said("parked")
    assert parked["parked_tracks"] >= 4
    assert value(parked, "false_positive_rate") < MOST


def test_with_the_movers_deleted_nothing_moves() -> None:
    """They still are in the picture, and on no mask: the static pose must not go with them."""
    deleted = said("oncoming", deleted=True)
    assert deleted["moving_tracks"] == 0
    assert deleted["parked_tracks"] >= 4
    assert value(deleted, "false_positive_rate") < MOST


def test_movers_move_in_reverse_too(forward: dict[str, Any]) -> None:
    backward = said("oncoming", reverse=True)
    assert value(backward, "recall") > value(forward, "recall") - 0.2
    assert value(backward, "false_positive_rate") < MOST


def test_off_and_all() -> None:
    off, everything = said("oncoming", gate="off"), said("oncoming", gate="all")
    assert value(off, "recall") == value(off, "false_positive_rate") == 0
    assert value(everything, "recall") > 0.9
    assert value(everything, "false_positive_rate") > 0.9
