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
from typing import Any

from depth_recog.adaptation.adapter import Adapter, StepResult
from depth_recog.adaptation.frame import KEPT
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import DepthRecogError, OutputError, describe
from depth_recog.networks.family import Entry
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.trainer.budget import Budget, Guard
from depth_recog.nodes.trainer.frame_queue import FrameQueue
from depth_recog.nodes.trainer.judging import Judging, Say
from depth_recog.training.judge.judgement import Judgement

_STALE = 20
"""After so many frames in a row that are not worth keeping, there is nothing new to learn."""
_SILENT_S = 2.0
_IDLE_S = 0.2
_FAILURES = 5
_UNJUDGED = 4
"""Without frames for the judge, learning waits after this many times `judge_every` steps."""
_HEAD_START_S = 5.0


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
        self._stale = 0
        self._idle = False
        self._spent = {"observing": 0.0, "learning": 0.0}
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
        self.judging = Judging(adapter, lineage, say)
        self.waits_for: Callable[[], str] = lambda: ""
        """Why nothing may be judged now, such as an unconfirmed hand-over; "" if it may."""
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
        return (fair or self._needs_frames) and not self.paused and self.guard.may_work()

    @property
    def _needs_frames(self) -> bool:
        """Whether there is nothing to learn until further frames were observed."""
        return (
            not self.counts["blocks to learn"]
            or self._stale >= _STALE
            or self.judging.unjudged >= _UNJUDGED * self._values("judge_every")
        )

    def pause(self) -> None:
        """Stop learning; what was learnt since the last judgement stays in memory."""
        with self._news:
            self.paused = True
            self.frames.clear()

    def resume(self) -> None:
        """Go on after `pause`, or after repeated failures."""
        with self._news:
            self.paused, self._failures = False, 0
            self._stale = 0
            self._news.notify_all()

    def save(self) -> str:
        """Ask for a judgement now; returns what will happen."""
        with self._news:
            if not self.judging.unjudged:
                return ""
            self._save_asked = True
            self._news.notify_all()
        return (
            f"after {self.judging.unjudged} steps the candidate is judged now, and saved if better"
        )

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
            self.judging.counts["rolled back"] += 1
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
            except Exception as error:
                self._failed(error)
            self._observe_state()
            share = self.guard.share(self._values("budget"))
            rest = self.budget.worked(time.perf_counter() - began, share)
            self._wait(max(rest, _IDLE_S) if self._idle else rest)
            self._idle = False
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
        elif self._stale >= _STALE or self.frames.silence > _SILENT_S:
            why = "no images" if self.frames.silence > _SILENT_S else self.last_outcome
            self.state = f"pauses: nothing new, {why}"
        elif self.judging.recheck_due:
            self.state = "compares the active weights with their parent"
            return self._recheck
        elif self._judgement_due:
            self.state = "judges"
            return self._judge
        elif self.judging.unjudged >= _UNJUDGED * self._values("judge_every"):
            self.state = f"waits: {self.waits_for() or 'the judge needs frames'}"
        else:
            self.state = "learns"
            return self._step
        return None

    @property
    def _judgement_due(self) -> bool:
        due = self._save_asked or self.judging.unjudged >= self._values("judge_every")
        return bool(due and self.counts["blocks to judge"] and not self.waits_for())

    def _observe(self) -> None:
        began = time.perf_counter()
        frame = self.frames.take()
        if frame is None:
            return
        observed = self._adapter.observe(frame)
        self.last_outcome = observed.outcome
        self._stale = 0 if observed.outcome == KEPT else self._stale + 1
        if observed.block == "judge":
            self.judging.new_block()
        self._spent["observing"] += time.perf_counter() - began

    def _step(self) -> None:
        result = self._adapter.step()
        if not isinstance(result, StepResult):
            self.state, self._idle = f"waits: {result.reason}", True
            return
        self._failures = 0
        self.judging.unjudged += 1
        self.steps += 1
        self.losses, self.seconds_per_step = result.losses, result.seconds
        self._spent["learning"] += result.seconds
        self.on_step(self.steps, result.losses)

    def _judge(self) -> None:
        began = time.perf_counter()
        self._save_asked = False
        judgement = self.judging.judge()
        self._spent["learning"] += time.perf_counter() - began
        self.on_judgement(self.steps, judgement)

    def _recheck(self) -> None:
        why = self.judging.recheck()
        if why:
            self.rollback(why)

    def _restart(self) -> None:
        self._restart_asked = False
        self.judging.restart()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self.counts["failures"] += 1
        self._say("error", f"learning failed: {describe(error)}; the candidate is dropped")
        if not isinstance(error, DepthRecogError):
            memory.give_back()
        self.judging.drop()

    def _observe_state(self) -> None:
        """Copy what the diagnostics report; other threads must not read the adapter."""
        failures = self.counts["failures"]
        self.counts = Counter(self._adapter.counts)
        if failures:
            self.counts["failures"] = failures
        self.memory_bytes = self._adapter.memory_bytes
