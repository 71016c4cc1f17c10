# SPDX-License-Identifier: Apache-2.0
"""The learning thread: observes frames, takes steps, judges, and fills the lineage.

The adapter belongs to this thread alone. The executor's thread puts frames into a bounded queue,
reads the state, and may pause, resume, roll back, or ask for a judgement.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from depth_recog.adaptation.adapter import Adapter, StepResult
from depth_recog.adaptation.frame import KEPT
from depth_recog.adaptation.judgement import Judgement
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import DepthRecogError, OutputError, TrainingError, describe
from depth_recog.networks.family import Entry
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.trainer.budget import Budget, Guard
from depth_recog.nodes.trainer.frame_queue import FrameQueue

_NEWS_S = 10.0
"""Without a frame that is worth keeping for so long, there is nothing new to learn."""
_IDLE_S = 0.2
_FAILURES = 5
_RECHECKS = 5
"""Blocks for the judge after a swap on which the active weights are compared with their parent."""
_HEAD_START_S = 5.0

Say = Callable[[str, str], None]
"""Takes the log level, "info", "warning" or "error", and a text."""


@dataclass
class Verdicts:
    """What the judge has said.

    Attributes:
        counts: "accepted", "refused", "unsaved", "rolled back".
        last: newest judgement.
        candidate: hash of the file that the newest candidate would be.
    """

    counts: Counter[str] = field(default_factory=Counter)
    last: Judgement | None = None
    candidate: str = ""


class Learning:
    """Learns in a thread of its own.

    Args:
        adapter: for this thread alone.
        lineage: takes what is accepted.
        guard: tells whether the depth node leaves time.
        values: the node's parameters `budget`, `nice` and `judge_every`.
        say: takes lines for the log.
    """

    def __init__(
        self,
        adapter: Adapter,
        lineage: Lineage,
        guard: Guard,
        budget: Budget,
        values: Callable[[str], Any],
        say: Say,
    ) -> None:
        self._adapter, self.lineage = adapter, lineage
        self.guard, self.budget, self._values, self._say = guard, budget, values, say
        self._news = threading.Condition()
        self.frames = FrameQueue(self._turn_to_observe)
        """Takes frames from the executor's thread."""
        self._halt = False
        self._save_asked = False
        self._restart_asked = False
        self._since_judged = 0
        self._since_news = time.monotonic()
        self._spent = {"observing": 0.0, "learning": 0.0}
        self._rechecks = 0
        self._recheck_due = False
        self._steps_at_parent = 0
        self._failures = 0
        self._thread: threading.Thread | None = None
        self.paused = False
        self.state = "waits for frames"
        self.last_outcome = ""
        self.losses: dict[str, float] = {}
        self.steps = 0
        self.seconds_per_step = 0.0
        self.counts: Counter[str] = Counter()
        self.memory_bytes = 0
        self.save_problem = ""
        """Why accepted weights could not be saved; "" after they could."""
        self.verdicts = Verdicts()
        self.on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None
        self.on_judgement: Callable[[int, Judgement], None] = lambda step, judgement: None

    # Any thread

    def start(self) -> None:
        """Begin to learn."""
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)
        self._thread.start()

    def stop(self, patience: float | None = None) -> bool:
        """End the thread; returns False if it has not ended within `patience` seconds."""
        with self._news:
            self._halt = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(patience)
            return not self._thread.is_alive()
        return True

    @property
    def failing(self) -> bool:
        """Whether learning has stopped because it fails again and again."""
        return self._failures >= _FAILURES

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def _turn_to_observe(self) -> bool:
        fair = self._spent["observing"] <= self._spent["learning"] + _HEAD_START_S
        return fair and not self.paused and self.guard.may_work()

    def pause(self) -> None:
        """Stop learning; what was learnt since the last judgement stays in memory."""
        with self._news:
            self.paused = True
            self.frames.clear()

    def resume(self) -> None:
        """Go on after `pause`, or after repeated failures."""
        with self._news:
            self.paused, self._failures = False, 0
            self._since_news = time.monotonic()
            self._news.notify_all()

    def save(self) -> str:
        """Ask for a judgement now; returns what will happen."""
        with self._news:
            if not self._since_judged:
                return ""
            self._save_asked = True
            self._news.notify_all()
        return f"after {self._since_judged} steps the candidate is judged now, and saved if better"

    def rollback(self, why: str) -> Entry:
        """Go back to the parent of the active weights, and learn from there.

        Raises:
            ConfigurationError: the start is active.
        """
        try:
            entry = self.lineage.rollback(why)
        except OutputError as error:
            self._say("error", f"{error}; a restart would begin with the other weights")
            entry = self.lineage.active
        with self._news:
            self.verdicts.counts["rolled back"] += 1
            self._restart_asked = True
            self._news.notify_all()
        self._say("warning", f"rolled back to {entry.name}: {why}")
        return entry

    # The learning thread

    def _run(self) -> None:
        # Of this thread and of those that torch starts for it.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), int(self._values("nice")))
        while not self._halt:
            began = time.perf_counter()
            try:
                work = self._next()
                if work is None:
                    self._wait(_IDLE_S)
                    continue
                work()
                self._failures = 0
            except Exception as error:
                self._failed(error)
            self._observe_state()
            share = self.guard.share(self._values("budget"))
            self._wait(self.budget.worked(time.perf_counter() - began, share))
        self.frames.clear()

    def _wait(self, seconds: float) -> None:
        """Rest. Only the end and a rollback interrupt it."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not self._halt and not self._restart_asked:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    return
                self._news.wait(rest)

    def _next(self) -> Callable[[], None] | None:
        """The next piece of work; None if there is none now, and `state` says why."""
        if self._restart_asked:
            return self._restart
        if self.paused:
            self.state = "paused by the service"
        elif self.failing:
            self.state = "stopped after repeated failures: call resume"
        elif not self.guard.may_work():
            self.state = f"pauses: {self.guard.why}"
        elif self.frames:
            self.state = "observes"
            return self._observe
        elif time.monotonic() - self._since_news > _NEWS_S:
            self.state = f"pauses: nothing new, {self.last_outcome or 'no images'}"
        elif self._rechecks and self._recheck_due:
            self.state = "compares the active weights with their parent"
            return self._recheck
        elif self._save_asked or self._since_judged >= self._values("judge_every"):
            self.state = "judges"
            return self._judge
        else:
            self.state = "learns"
            return self._step
        return None

    def _observe(self) -> None:
        began = time.perf_counter()
        frame = self.frames.take()
        if frame is None:
            return
        observed = self._adapter.observe(frame)
        self.last_outcome = observed.outcome
        if observed.outcome == KEPT:
            self._since_news = time.monotonic()
        if observed.block == "judge" and self._rechecks:
            self._recheck_due = True
        self._spent["observing"] += time.perf_counter() - began

    def _step(self) -> None:
        result = self._adapter.step()
        if not isinstance(result, StepResult):
            self.state = f"waits: {result.reason}"
            self._wait(_IDLE_S)
            return
        self._since_judged += 1
        self.steps += 1
        self.losses, self.seconds_per_step = result.losses, result.seconds
        self._spent["learning"] += result.seconds
        self.on_step(self.steps, result.losses)

    def _judge(self) -> None:
        began = time.perf_counter()
        parent = self.lineage.active
        self._save_asked = False
        judgement = self._adapter.judge()
        self.verdicts.last = judgement
        self.verdicts.candidate = self.lineage.digest(self._adapter.candidate)
        self._since_judged = 0
        self._spent["learning"] += time.perf_counter() - began
        self.on_judgement(self.steps, judgement)
        if not judgement.accepted:
            self.verdicts.counts["refused"] += 1
            self._say("info", f"candidate refused: {judgement.reason}")
            if any(not check.passed for check in judgement.checks):
                self._adapter.discard()
            return
        try:
            entry = self.lineage.accept(
                self._adapter.candidate,
                parent,
                judgement.reason,
                parent.step + self._adapter.steps - self._steps_at_parent,
                judgement.as_dict(),
            )
        except OutputError as error:
            # The candidate goes on learning, and is judged and saved later.
            self.verdicts.counts["unsaved"] += 1
            self.save_problem = f"accepted weights are not saved: {error}"
            self._say("error", self.save_problem)
            return
        except TrainingError as error:
            self._adapter.discard()
            self._say("warning", f"the accepted weights are not used: {error}")
            return
        self.save_problem = ""
        self._adapter.adopt()
        self._steps_at_parent = self._adapter.steps
        self.verdicts.counts["accepted"] += 1
        self._rechecks, self._recheck_due = _RECHECKS, False
        self._say("info", f"accepted {entry.name}: {judgement.reason}")

    def _recheck(self) -> None:
        self._recheck_due = False
        self._rechecks -= 1
        judgement = self._adapter.recheck()
        if any(not check.passed for check in judgement.checks):
            self.rollback(f"worse than its parent on newer frames: {judgement.reason}")

    def _restart(self) -> None:
        self._restart_asked = False
        self._rechecks, self._since_judged = 0, 0
        self._adapter.restart_from(self.lineage.path_of(self.lineage.active))
        self._steps_at_parent = self._adapter.steps

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self.counts["failures"] += 1
        self._say("error", f"learning failed: {describe(error)}; the candidate is dropped")
        if not isinstance(error, DepthRecogError):
            memory.give_back()
        self._since_judged = 0
        self._adapter.discard()

    def _observe_state(self) -> None:
        """Copy what the diagnostics report; other threads must not read the adapter."""
        failures = self.counts["failures"]
        self.counts = Counter(self._adapter.counts)
        if failures:
            self.counts["failures"] = failures
        self.memory_bytes = self._adapter.memory_bytes
