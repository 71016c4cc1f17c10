# SPDX-License-Identifier: Apache-2.0
"""The judge of `depth-recog train`, for recordings without true depth."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from depth_recog.evaluation.without_truth.collected import LEAST_PAIRS
from depth_recog.method.masking import PresetRules
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.depth.task import Opinion, Referee
from depth_recog.training.judge.anchors import judged_anchors
from depth_recog.training.judge.judge import checks_of, sentence_of
from depth_recog.training.judge.witness import Sight, Witness


def referee_of(
    initial: nn.Module,
    recordings: list[TrainingRecording],
    rules: PresetRules,
    device: torch.device,
    steady: bool,
) -> Referee:
    """Make the judge of a run.

    Args:
        initial: the depth network before the training; copied.
        recordings: held out.
        rules: say which classes could move.
        device: of the networks.
        steady: whether the scale must be that of the initial weights.
    """
    witness = Witness(rules, device)
    start = copy.deepcopy(initial).eval().requires_grad_(False)
    anchors = judged_anchors(recordings[0].frames.size)

    def judge(network: nn.Module) -> Opinion:
        # A copy, since what a network shows is found once, and this one is trained on.
        shown = copy.deepcopy(network)
        before, after = (witness.look(n, recordings, anchors) for n in (start, shown))
        possible = sum(m.has_points for m in before.collected.pairs.values())
        points = _disagreement(after) if possible >= LEAST_PAIRS else None
        return Opinion(points, sentence_of(checks_of(before, before, after, False, steady)))

    return judge


def _disagreement(sight: Sight) -> float:
    found = [m.triangulation.abs_rel for m in sight.collected.pairs.values() if m.triangulation]
    return float(np.mean(found)) if found else float("inf")
