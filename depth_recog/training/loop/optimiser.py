# SPDX-License-Identifier: Apache-2.0
"""The optimiser, its learning rate, and the running average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""

WEIGHT_DECAY = 1e-3


def make_optimiser(
    model: nn.Module,
    encoder: list[nn.Parameter],
    rate: float,
    encoder_share: float,
    epsilon: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW with a group for pretrained encoders and one for the other parameters.

    Args:
        model: its parameters with gradients are trained.
        encoder: those of them that are pretrained.
        rate: learning rate of the other parameters.
        encoder_share: the encoders' learning rate as a share of it.
        epsilon: weights whose gradient is smaller than this hardly move.
    """
    pretrained = {id(p) for p in encoder}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in pretrained]
    groups = [{"params": encoder, "share": encoder_share}, {"params": others, "share": 1.0}]
    return torch.optim.AdamW(groups, lr=rate, eps=epsilon, weight_decay=WEIGHT_DECAY)


def set_rate(optimiser: torch.optim.Optimizer, rate: float, step: int, steps: int) -> float:
    """Set the learning rates for a step: a linear rise, then half a cosine down to a hundredth.

    Args:
        optimiser: of `make_optimiser`.
        rate: the largest learning rate.
        step: number of the step, from 0.
        steps: number of steps in all.

    Returns:
        The learning rate of the parameters outside the encoders.
    """
    rise = max(1.0, WARM_UP * steps)
    done = max(0.0, (step - rise) / max(1.0, steps - rise))
    now = rate * min((step + 1) / rise, 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
    for group in optimiser.param_groups:
        group["lr"] = now * group["share"]
    return now


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Move the running average of the weights towards the present weights.

    An exponential average over about 1 / (1 - share) steps; it varies less from step to step.
    `average` is a copy of the network, changed in place; `share` is the weight of the old average.
    """
    new = network.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(new[key], 1 - share)
        else:
            value.copy_(new[key])
