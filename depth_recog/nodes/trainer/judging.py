# SPDX-License-Identifier: Apache-2.0
"""What the learning thread does with a candidate: judge it, save it, drop it, go back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from depth_recog.adaptation.adapter import Adapter
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import OutputError, TrainingError
from depth_recog.networks.family import Entry
from depth_recog.training.judge.judgement import Judgement

_RECHECKS = 5
"""Blocks for the judge after a swap on which the active weights are compared with their parent."""

Say = Callable[[str, str], None]
"""Takes the log level, "info", "warning" or "error", and a text."""


class Judging:
    """Verdicts, and their consequences for the lineage; for the learning thread.

    Args:
        adapter: holds candidate and active weights.
        lineage: takes what is accepted.
        say: takes lines for the log.
    """

    def __init__(self, adapter: Adapter, lineage: Lineage, say: Say) -> None:
        self._adapter, self._lineage, self._say = adapter, lineage, say
        # Weights of an earlier process may have been active for a moment only.
        self._rechecks = _RECHECKS if lineage.active != lineage.start else 0
        self._steps_at_parent = adapter.steps
        self.counts: Counter[str] = Counter()
        """"accepted", "refused", "unsaved", "rolled back"."""
        self.last: Judgement | None = None
        self.candidate = ""
        """Hash of the file that the newest candidate would be."""
        self.save_problem = ""
        """Why accepted weights could not be saved; "" after they could."""
        self.unjudged = 0
        """Steps since the last judgement."""
        self.recheck_due = False

    def judge(self) -> Judgement:
        """Judge the candidate; save and adopt it if it is accepted."""
        parent = self._lineage.active
        self.last = judgement = self._adapter.judge()
        self.candidate = self._lineage.digest(self._adapter.candidate)
        self.unjudged = 0
        if judgement.accepted:
            self._accept(parent, judgement)
        else:
            self.counts["refused"] += 1
            self._say("info", f"candidate refused: {judgement.reason}")
            # If it is only not better yet, it goes on learning.
            if judgement.failed_beyond_gain:
                self.drop()
        return judgement

    def _accept(self, parent: Entry, judgement: Judgement) -> None:
        step = parent.step + self._adapter.steps - self._steps_at_parent
        facts = judgement.as_dict()
        try:
            candidate = self._adapter.candidate
            entry = self._lineage.accept(candidate, parent, judgement.reason, step, facts)
        except OutputError as error:
            # The candidate goes on learning, and is judged and saved later.
            self.counts["unsaved"] += 1
            self.save_problem = f"accepted weights are not saved: {error}"
            self._say("error", self.save_problem)
            return
        except TrainingError as error:
            self.drop()
            self._say("warning", f"the accepted weights are not used: {error}")
            return
        self._adapter.adopt()
        self._steps_at_parent = self._adapter.steps
        self.save_problem = ""
        self.counts["accepted"] += 1
        self._rechecks, self.recheck_due = _RECHECKS, False
        self._say("info", f"accepted {entry.name}: {judgement.reason}")

    def new_block(self) -> None:
        """Take note of frames that are newer than the last swap."""
        self.recheck_due = self._rechecks > 0

    def recheck(self) -> str:
        """Compare the active weights with their parent; returns why to roll back, or ""."""
        self.recheck_due = False
        self._rechecks -= 1
        judgement = self._adapter.recheck()
        if any(not check.passed for check in judgement.checks):
            return f"worse than its parent on newer frames: {judgement.reason}"
        return ""

    def restart(self) -> None:
        """Begin again from the weights that are active in the lineage."""
        self._rechecks, self.unjudged = 0, 0
        self._adapter.restart_from(self._lineage.path_of(self._lineage.active))
        self._steps_at_parent = self._adapter.steps

    def drop(self) -> None:
        """Begin again from the active weights."""
        self.unjudged = 0
        self._adapter.discard()
