# SPDX-License-Identifier: Apache-2.0
"""The depth network's own standard deviation: a small head on the decoder's features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, interpolate

from depth_recog.networks.own.designs import DEVIATION_RANGE

HIDDEN = 16
"""Channels between the two layers."""
BLANK = 0.2
"""Standard deviation before training, everywhere."""


class DeviationHead(nn.Module):
    """From decoded features to the log of the standard deviation of log depth.

    It learns the half-width of the interval around the depth that holds 68 % of the errors. It is
    computed at half size and enlarged: a deviation has no sharper edges. The features are detached,
    so that no gradient of the deviation reaches the depth.

    Args:
        fine: channels of the decoder's features at stride 1.
        coarse: channels at stride 2.
    """

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, HIDDEN, 2, stride=2)
        self.coarse = nn.Conv2d(coarse, HIDDEN, 1)
        self.last = nn.Conv2d(HIDDEN, 1, 3, padding=1, padding_mode="reflect")

    def blank(self) -> None:
        """Set the weights before training: `BLANK` everywhere, the same in every run."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for layer in (self.fine, self.coarse):
                nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, math.log(BLANK))  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the log of the standard deviation, not limited.

        Args:
            features: of the decoder, coarsest first; the last two have strides 2 and 1.

        Returns:
            (B, 1, H, W) float32.
        """
        coarse, fine = (x.detach() for x in features[-2:])
        # In float32 as the depth's head: the steps of bfloat16 would show.
        with torch.autocast(fine.device.type, enabled=False):
            x = self.last(elu(self.fine(fine.float()) + self.coarse(coarse.float())))
            return interpolate(x, size=fine.shape[2:], mode="bilinear", align_corners=False)


def limited(log_std: Tensor) -> Tensor:
    """The standard deviation within `DEVIATION_RANGE`, from its log."""
    least, most = map(math.log, DEVIATION_RANGE)
    return log_std.clamp(least, most).exp()
