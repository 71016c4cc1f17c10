# SPDX-License-Identifier: Apache-2.0
"""What the adapter does with the frames of a stream, with the shipped networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from depth_recog.adaptation.adapter import Adapter, NothingToLearn, StepResult, interpolated
from depth_recog.adaptation.frame import (
    DUPLICATE,
    KEPT,
    LITTLE_PARALLAX,
    NO_FEATURES,
    STANDSTILL,
    LiveFrame,
)
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.datasets.street.street import SyntheticStreet
from depth_recog.training.judge import anchors

COUNT = 11


@pytest.fixture(scope="module")
def frames() -> list[LiveFrame]:
    street = SyntheticStreet("oncoming", 3, COUNT)
    return [
        LiveFrame(f.image, f.camera.matrix, f.stamp_ns)
        for f in map(street.__getitem__, range(COUNT))
    ]


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(settings=AdaptationSettings(block=5, batch=1, anchors=1))


def test_frames_with_parallax_become_blocks_and_then_a_step(
    adapter: Adapter, frames: list[LiveFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchors, "LEARNT", ("street",))
    assert isinstance(adapter.step(), NothingToLearn)
    seen = [adapter.observe(frame) for frame in frames]
    assert [one.outcome for one in seen] == [KEPT] * COUNT
    assert [one.block for one in seen if one.block] == ["learn", "judge"]
    assert adapter.memory_bytes > 0
    before = [p.clone() for p in adapter.candidate.parameters()]
    result = adapter.step()
    assert isinstance(result, StepResult)
    assert result.step == 1
    assert np.isfinite(list(result.losses.values())).all()
    # The colours are changed at random, so that even the start differs from its own depth.
    assert result.losses["start"] > 0
    assert any((a != b).any() for a, b in zip(before, adapter.candidate.parameters(), strict=True))
    adapter.discard()
    assert all((a == b).all() for a, b in zip(before, adapter.candidate.parameters(), strict=True))


def test_live_images_are_not_zoomed(adapter: Adapter, frames: list[LiveFrame]) -> None:
    """With zoom static poses on other drives get worse (docs/results.md)."""
    for frame in frames[:5]:
        adapter.observe(frame)
    live = [block.recording for block in adapter._learnt.blocks]
    drawn = [adapter._learner._batch(live) for _ in range(4)]
    focal = [float(batch.intrinsics[0, 0, 0]) for batch in drawn]
    assert focal == pytest.approx([frames[0].intrinsics[0, 0]] * 4)
    assert {float(batch.mirror[0, 0, 0]) for batch in drawn} == {-1.0, 1.0}


def test_frames_that_teach_nothing_pass_no_network(
    adapter: Adapter, frames: list[LiveFrame]
) -> None:
    first = frames[0]
    later = [replace(first, stamp=first.stamp + k * 10**8) for k in range(1, 5)]
    shifted = np.roll(first.image, 2, 1)
    adapter.observe(first)
    calls = []
    adapter._stream._recognizer.step = lambda *args: calls.append(args)  # type: ignore[method-assign,assignment]
    outcomes = [
        adapter.observe(first).outcome,
        adapter.observe(later[0]).outcome,
        adapter.observe(replace(later[1], image=(first.image // 2 * 2).astype(np.uint8))).outcome,
        adapter.observe(replace(later[2], image=shifted)).outcome,
        adapter.observe(replace(later[3], image=np.zeros_like(first.image))).outcome,
    ]
    assert outcomes == [DUPLICATE, DUPLICATE, STANDSTILL, LITTLE_PARALLAX, NO_FEATURES]
    assert not calls


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera": "other"}, "another camera"),
        ({"intrinsics": np.diag((200.0, 200.0, 1.0))}, "calibration"),
        ({"stamp": -1}, "time went back"),
        ({"stamp": 10**10}, "a gap in time"),
    ],
)
def test_a_stream_begins_anew(
    adapter: Adapter, frames: list[LiveFrame], change: dict[str, object], reason: str
) -> None:
    adapter.observe(frames[0])
    assert not adapter.observe(frames[1]).restarted
    assert reason in adapter.observe(replace(frames[2], **change)).restarted  # type: ignore[arg-type]


def test_a_cut_begins_a_new_stream(adapter: Adapter, frames: list[LiveFrame]) -> None:
    adapter.observe(frames[0])
    noise = np.random.default_rng(0).integers(0, 255, frames[0].image.shape, dtype=np.uint8)
    assert adapter.observe(replace(frames[1], image=noise)).restarted == "cut"


def test_networks_are_interpolated_as_files_store_them() -> None:
    start, learnt = nn.Linear(1, 1, False), nn.Linear(1, 1, False)
    with torch.no_grad():
        start.weight.fill_(2.0)
        learnt.weight.fill_(3.0001)
    between = interpolated(start, learnt, 0.25).state_dict()["weight"]
    assert between.item() == torch.tensor(2.250025).half().float().item()
    # From a part of the way its end can be found again.
    assert interpolated(start, interpolated(start, learnt, 0.25), 4).state_dict()[
        "weight"
    ].item() == pytest.approx(3.0, abs=5e-3)
    assert start.weight.item() == 2.0
