# SPDX-License-Identifier: Apache-2.0
"""Decides whether a candidate may replace the active weights."""

from __future__ import annotations

from torch import nn

from depth_recog.adaptation.judgement import Judgement
from depth_recog.adaptation.memory import Block


class Judge:
    """Compares two networks on frames that neither learnt from.

    What it cannot see, it refuses.
    """

    def compare(self, active: nn.Module, candidate: nn.Module, blocks: list[Block]) -> Judgement:
        """Judge a candidate against the active weights.

        Args:
            active: the weights in use.
            candidate: those that learnt.
            blocks: held back.
        """
        if not blocks:
            return Judgement(False, "no frames are held back yet: nothing can be compared")
        return Judgement(False, "this judge has no measures yet")
