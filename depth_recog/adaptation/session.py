# SPDX-License-Identifier: Apache-2.0
"""Learning on a recording: the loop of the trainer node without ROS and without a clock.

Every frame is judged before it is learnt from: a block of frames is first compared with the active
weights and with the start, and only then given to the learner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from depth_recog.adaptation.adapter import Adapter, StepResult
from depth_recog.adaptation.frame import LiveFrame
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import TrainingError
from depth_recog.training.judge.judgement import Judgement

JUDGE_EVERY = 50
"""Steps between two judgements."""


class Session:
    """Adapts a lineage to frames that come one by one.

    Args:
        adapter: restarted from the active weights of the lineage.
        lineage: takes what is accepted.
        steps: of learning after every block of frames.
        say: takes lines for the user.
        stop: called after every step; True ends the session.
    """

    def __init__(
        self,
        adapter: Adapter,
        lineage: Lineage,
        steps: int,
        say: Callable[[str], object],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._adapter, self._lineage, self._each = adapter, lineage, steps
        self._say, self._stop = say, stop
        self._since_judged = 0
        self._steps_at_parent = 0
        self._verdicts: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []

    def observe(self, frame: LiveFrame) -> None:
        """Take a frame; learn and judge where it completes a block.

        Raises:
            OutputError: accepted weights cannot be saved.
        """
        if self._adapter.observe(frame).block:
            self._after_block()

    def end(self) -> None:
        """Learn from what is left of the stream, and judge once more. Raises as `observe`."""
        if self._adapter.end_stream().block and not self._stop():
            self._after_block()
        if self._since_judged and not self._stop():
            self._judge()

    def report(self) -> dict[str, Any]:
        """What happened, as plain values."""
        seen = [b for b in self._blocks if b["start"] is not None and b["active"] is not None]
        before, after = (
            float(np.mean([b[key] for b in seen])) if seen else None for key in ("start", "active")
        )
        return {
            "frames": dict(self._adapter.counts),
            "steps": self._adapter.steps,
            "before_learning": {"blocks": len(seen), "start": before, "active": after},
            "blocks": self._blocks,
            "verdicts": self._verdicts,
            "start": asdict(self._lineage.start),
            "active": asdict(self._lineage.active),
        }

    def _after_block(self) -> None:
        start, active = self._adapter.newest_block()
        self._blocks.append({"start": start, "active": active})
        for _ in range(self._each):
            if self._stop():
                return
            result = self._adapter.step()
            if not isinstance(result, StepResult):
                return
            self._since_judged += 1
            if self._since_judged >= JUDGE_EVERY:
                self._judge()

    def _judge(self) -> None:
        self._since_judged = 0
        parent = self._lineage.active
        judgement = self._adapter.judge()
        self._verdicts.append({"step": self._adapter.steps} | judgement.as_dict())
        if not judgement.accepted:
            self._say(f"step {self._adapter.steps}, refused: {judgement.reason}")
            if judgement.failed_beyond_gain:
                self._adapter.discard()
            return
        self._accept(judgement, parent.step)

    def _accept(self, judgement: Judgement, before: int) -> None:
        steps = self._adapter.steps
        try:
            entry = self._lineage.accept(
                self._adapter.candidate,
                self._lineage.active,
                judgement.reason,
                before + steps - self._steps_at_parent,
                judgement.as_dict(),
            )
        except TrainingError as error:
            self._adapter.discard()
            self._say(f"step {steps}, not saved: {error}")
            return
        self._adapter.adopt()
        self._steps_at_parent = steps
        self._say(f"step {steps}, accepted as {entry.name}: {judgement.reason}")
