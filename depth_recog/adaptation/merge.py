# SPDX-License-Identifier: Apache-2.0
"""Merge what several robots have learnt from the same start: the mean of their weights, judged.

Networks that were fine-tuned from one start mostly lie in one basin of the loss, so the mean of
their weights is a good network too (Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from depth_recog.adaptation.adapter import Adapter
from depth_recog.adaptation.lineage import Lineage
from depth_recog.adaptation.sources import live_frames
from depth_recog.errors import ConfigurationError
from depth_recog.networks.family import Entry, read_family
from depth_recog.networks.own.files import load_network
from depth_recog.training.data.cache import SourceFrames
from depth_recog.training.judge.judgement import Judgement


@dataclass(frozen=True)
class RobotWeights:
    """The active weights of one robot's lineage."""

    folder: Path
    start: Entry
    active: Entry

    @property
    def path(self) -> Path:
        """Their file."""
        return self.folder / f"{self.active.name}.safetensors"


def robots_of(folders: Sequence[Path]) -> list[RobotWeights]:
    """Read the lineages.

    Raises:
        WeightsError: one cannot be read.
        ConfigurationError: they began with different weights, or fewer than two have learnt.
    """
    families = [read_family(folder) for folder in folders]
    robots = [
        RobotWeights(folder, family.start, family.active_entry)
        for folder, family in zip(folders, families, strict=True)
    ]
    for robot in robots[1:]:
        if robot.start.sha256 != robots[0].start.sha256:
            raise ConfigurationError(
                f"{robot.folder} began with {robot.start.name}, {robots[0].folder} with "
                f"{robots[0].start.name}: only lineages with the same start can be merged"
            )
    learnt = [robot for robot in robots if robot.active != robot.start]
    if len({robot.active.sha256 for robot in learnt}) < 2:
        raise ConfigurationError(
            "fewer than two of the lineages have weights of their own: there is nothing to merge"
        )
    return learnt


@torch.no_grad()
def mean_network(files: Sequence[Path]) -> nn.Module:
    """A network with the mean weights of several files. Raises WeightsError."""
    network = load_network(str(files[0]), "depth")[0]
    states = [load_network(str(file), "depth")[0].state_dict() for file in files]
    mean = {
        key: torch.stack([state[key] for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(mean)
    return network


def merge(
    robots: Sequence[RobotWeights], adapter: Adapter, lineage: Lineage, on: Sequence[SourceFrames]
) -> Judgement:
    """Judge the mean of the robots' weights; a lineage gets it if it is better than their start.

    Args:
        robots: of `robots_of`.
        adapter: with the robots' start.
        lineage: with the robots' start, where nothing was accepted yet.
        on: recordings of the road.

    Raises:
        OutputError: it cannot be saved.
        TrainingError: a tensor is not finite.
    """
    for source in on:
        for frame in live_frames(source, adapter.size):
            adapter.observe(frame)
        adapter.end_stream()
    judgement = adapter.judge_network(mean_network([robot.path for robot in robots]))
    if judgement.accepted:
        step = max(robot.active.step for robot in robots)
        facts = {"merged": [robot.active.sha256 for robot in robots], **judgement.as_dict()}
        lineage.accept(adapter.candidate, lineage.start, f"merged: {judgement.reason}", step, facts)
    return judgement
