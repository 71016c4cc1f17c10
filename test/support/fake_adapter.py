# SPDX-License-Identifier: Apache-2.0
"""An adapter that learns nothing: it follows a script, quickly.

`python fake_adapter.py --ros-args ...` is a trainer node with it.
"""

from __future__ import annotations

import copy
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depth_recog.adaptation.adapter import NothingToLearn, StepResult
from depth_recog.adaptation.frame import KEPT, LiveFrame, Observed
from depth_recog.networks.own.files import load_network
from depth_recog.training.judge.judgement import Check, Judgement


class FakeAdapter:
    """Accepts every candidate; each differs from its parent by a small random offset.

    Attributes:
        outcome: of all frames.
        accepts: whether the judge does.
        worse: whether the judge finds the road worse, where it does not accept.
        better: whether the active weights stay better than their parent.
        fails: error that the next steps raise.
    """

    def __init__(self, start: str, settings: Any = None, device: Any = "cpu") -> None:
        self.active, header = load_network(start, "depth")
        self.size = header.size
        self.candidate: nn.Module = self.active
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.memory_bytes = 1000
        self.outcome, self.accepts, self.better, self.worse = KEPT, True, True, False
        self.fails: Exception | None = None
        self.calls: list[str] = []
        self.seen: list[LiveFrame] = []

    def observe(self, frame: LiveFrame) -> Observed:
        self.seen.append(frame)
        self.counts[self.outcome] += 1
        block = ""
        if len(self.seen) % 4 == 0:
            block = "judge" if len(self.seen) % 8 == 0 else "learn"
            self.counts[f"blocks to {block}"] += 1
        return Observed(self.outcome, "", block)

    def step(self) -> StepResult | NothingToLearn:
        if self.fails is not None:
            raise self.fails
        if not self.counts["blocks to learn"]:
            return NothingToLearn("no frames with parallax yet")
        self.steps += 1
        time.sleep(0.001)  # else it would take a core from the nodes, and 10^6 steps a minute
        return StepResult(self.steps, {"total": 1 / self.steps}, 0.001)

    def judge(self) -> Judgement:
        self.calls.append("judge")
        self.candidate = copy.deepcopy(self.active)
        with torch.no_grad():
            bias = next(p for n, p in self.candidate.named_parameters() if n.endswith("0.bias"))
            bias += 0.05 * torch.rand(bias.shape)
        return self._judgement()

    def judge_network(self, network: nn.Module) -> Judgement:
        self.candidate = network
        return self._judgement()

    def _judgement(self) -> Judgement:
        check = Check("triangulation", 0.2, 0.1, -0.5, 0.0, 9, self.accepts)
        road = Check("road height", 1.6, 5.0, 1.1, 0.1, 9, not self.worse)
        return Judgement(self.accepts, "half as far off", (check, road))

    def end_stream(self) -> Observed:
        self.calls.append("end of the stream")
        return Observed(KEPT)

    def adopt(self) -> None:
        self.calls.append("adopt")
        self.active = copy.deepcopy(self.candidate)

    def discard(self) -> None:
        self.calls.append("discard")

    def recheck(self) -> Judgement:
        self.calls.append("recheck")
        check = Check("road", 1.6, 1.6 if self.better else 5.0, 0.0, 0.0, 9, self.better)
        return Judgement(self.better, "the road sank", (check,))

    def restart_from(self, weights: Path, parent: Path | None = None) -> None:
        self.calls.append(f"restart {weights.stem}")
        self.active = load_network(str(weights), "depth")[0]


def main() -> int:
    from depth_recog.nodes import process, trainer_node

    trainer_node.Adapter = FakeAdapter  # type: ignore[misc,assignment]
    return process.trainer_node()


if __name__ == "__main__":
    sys.exit(main())
