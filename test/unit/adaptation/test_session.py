# SPDX-License-Identifier: Apache-2.0
"""When a session learns, judges, accepts and discards, with an adapter that only counts."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from depth_recog.adaptation.adapter import Adapter, StepResult
from depth_recog.adaptation.frame import KEPT, LiveFrame, Observed
from depth_recog.adaptation.lineage import Lineage
from depth_recog.adaptation.session import JUDGE_EVERY, Session
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import header_of
from depth_recog.training.judge.judgement import Check, Judgement

FRAME = cast(LiveFrame, None)


class Counting:
    """Every frame completes a block."""

    def __init__(self, network: nn.Module, verdicts: list[Judgement]) -> None:
        self.candidate, self.verdicts = network, verdicts
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.calls: list[str] = []

    def observe(self, frame: LiveFrame) -> Observed:
        return Observed(KEPT, "", "learn")

    def end_stream(self) -> Observed:
        return Observed(KEPT)

    def newest_block(self) -> tuple[float, float]:
        self.calls.append("compare")
        return 0.2, 0.1

    def step(self) -> StepResult:
        self.steps += 1
        self.calls.append("step")
        return StepResult(self.steps, {}, 0.0)

    def judge(self) -> Judgement:
        self.calls.append("judge")
        return self.verdicts.pop(0)

    def adopt(self) -> None:
        self.calls.append("adopt")

    def discard(self) -> None:
        self.calls.append("discard")


def refused(name: str) -> Judgement:
    return Judgement(False, f"{name} is worse", (Check(name, 1.0, 2.0, 1.0, 0.1, 9, False),))


@pytest.fixture
def lineage(tmp_path: Path) -> Iterator[Lineage]:
    made = Lineage(tmp_path / "lineage")
    yield made
    made.close()


@pytest.fixture(scope="module")
def changed() -> nn.Module:
    network = copy.deepcopy(load_network("", "depth")[0])
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    return network


def test_accepted_weights_become_the_active_ones_of_the_folder(
    lineage: Lineage, changed: nn.Module
) -> None:
    adapter = Counting(changed, [Judgement(True, "better")])
    said: list[str] = []
    session = Session(cast(Adapter, adapter), lineage, JUDGE_EVERY, said.append)
    session.observe(FRAME)
    session.end()
    assert adapter.calls == ["compare", *["step"] * JUDGE_EVERY, "judge", "adopt"]
    assert lineage.active.parent == lineage.start.sha256
    assert lineage.active.step == JUDGE_EVERY
    assert header_of(str(lineage.folder), "depth").sha256 == lineage.active.sha256
    assert lineage.active.name in said[0]
    report = session.report()
    assert report["active"]["sha256"] == lineage.active.sha256
    assert report["before_learning"] == {"blocks": 1, "start": 0.2, "active": 0.1}


@pytest.mark.parametrize(
    ("verdict", "then"),
    [
        pytest.param(refused("triangulation"), [], id="too little gain: it learns on"),
        pytest.param(refused("road height"), ["discard"], id="worse: it is dropped"),
    ],
)
def test_refused_weights_are_not_used(
    lineage: Lineage, changed: nn.Module, verdict: Judgement, then: list[str]
) -> None:
    adapter = Counting(changed, [verdict])
    session = Session(cast(Adapter, adapter), lineage, 3, lambda line: None)
    session.observe(FRAME)
    session.end()
    assert adapter.calls == ["compare", *["step"] * 3, "judge", *then]
    assert lineage.active == lineage.start


def test_unchanged_weights_are_not_saved(lineage: Lineage) -> None:
    adapter = Counting(load_network("", "depth")[0], [Judgement(True, "better")])
    said: list[str] = []
    session = Session(cast(Adapter, adapter), lineage, 1, said.append)
    session.observe(FRAME)
    session.end()
    assert adapter.calls[-1] == "discard"
    assert "not saved" in said[0]


def test_a_stopped_session_does_not_judge(lineage: Lineage, changed: nn.Module) -> None:
    adapter = Counting(changed, [])
    session = Session(cast(Adapter, adapter), lineage, 5, lambda line: None, lambda: True)
    session.observe(FRAME)
    session.end()
    assert adapter.calls == ["compare"]
