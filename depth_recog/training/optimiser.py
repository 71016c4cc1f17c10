# SPDX-License-Identifier: Apache-2.0
"""The optimizer, how its rate goes, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

WARM_UP = 0.05
"""Share of the steps in which the rate rises."""

WEIGHT_DECAY = 1e-3


def make_optimizer(
    encoders: Iterable[nn.Parameter],
    others: Iterable[nn.Parameter],
    rate: float,
    encoder_share: float,
) -> torch.optim.AdamW:
    """AdamW in two groups.

    Args:
        encoders: parameters that know much already.
        others: parameters of decoders and heads.
        rate: of the others.
        encoder_share: the encoders' rate as a share of it.
    """
    groups = [
        {"params": list(encoders), "share": encoder_share},
        {"params": list(others), "share": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=WEIGHT_DECAY)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int, steps: int) -> float:
    """Set the rates for a step: a linear rise, then half a cosine down to a hundredth.

    Args:
        optimizer: of `make_optimizer`.
        rate: the largest.
        step: from 0 on.
        steps: in all.

    Returns:
        The rate of the decoders.
    """
    rise = max(1.0, WARM_UP * steps)
    done = max(0.0, (step - rise) / max(1.0, steps - rise))
    now = rate * min((step + 1) / rise, 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = now * group["share"]
    return now


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Move a running average of the weights towards a network's.

    A plain mean over the last 1 / (1 - share) steps: its checkpoints swing less than the network's.

    Args:
        average: a copy of the network, changed in place.
        network: what the optimizer has just stepped.
        share: of the old average that stays.
    """
    new = network.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(new[key], 1 - share)
        else:
            value.copy_(new[key])
