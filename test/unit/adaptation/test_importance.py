# SPDX-License-Identifier: Apache-2.0
"""Weights that matter to the start are pulled back to it; others may go."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depth_recog.adaptation import importance
from depth_recog.adaptation.adapter import interpolated
from depth_recog.adaptation.importance import Importance
from depth_recog.training.depth.model import Prediction
from depth_recog.training.judge.anchors import AnchorFrames


class Scales(nn.Module):
    """Depth is the exponential of one weight; the other one has no influence."""

    def __init__(self) -> None:
        super().__init__()
        self.matters = nn.Parameter(torch.tensor([2.0]))
        self.idle = nn.Parameter(torch.tensor([2.0]))

    def forward(self, image: Tensor, focal: Tensor, frames: Tensor | None) -> Prediction:
        inverse = torch.exp(-self.matters + 0 * self.idle) * torch.ones_like(image[:, :1])
        return Prediction([inverse, inverse], None)


@pytest.fixture
def anchors() -> AnchorFrames:
    images = np.zeros((4, 16, 32, 3), np.uint8)
    return AnchorFrames(images, np.full((4, 16, 32), 9.0, np.float32), np.eye(3))


def test_what_matters_is_held(anchors: AnchorFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_HIGH", 1.0)
    start = Scales()
    held = Importance(start, anchors, torch.device("cpu"))  # type: ignore[arg-type]
    assert start.matters.grad is None
    moved = copy.deepcopy(start)
    with torch.no_grad():
        moved.matters += 1.0
        moved.idle += 1.0
    held.pull(moved, 1.0)
    assert moved.matters.item() == pytest.approx(2.0 + np.exp(-1.0))
    assert moved.idle.item() == pytest.approx(3.0)


def test_no_strength_holds_nothing(anchors: AnchorFrames) -> None:
    start = Scales()
    held = Importance(start, anchors, torch.device("cpu"))  # type: ignore[arg-type]
    moved = copy.deepcopy(start)
    with torch.no_grad():
        moved.matters += 1.0
    held.pull(moved, 0.0)
    assert moved.matters.item() == 3.0


def test_networks_are_interpolated_as_files_store_them() -> None:
    start, learnt = Scales(), Scales()
    with torch.no_grad():
        learnt.matters += 1.0001
    half = interpolated(start, learnt, 0.5).state_dict()
    assert half["matters"].item() == torch.tensor(2.50005).half().float().item()
    assert half["idle"].item() == 2.0
    assert start.matters.item() == 2.0
