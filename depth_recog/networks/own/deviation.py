# SPDX-License-Identifier: Apache-2.0
"""The module that learns the standard deviation of log depth, see `networks/deviation.py`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import elu, interpolate

from depth_recog.networks.deviation import CUES, HIDDEN, Deviation, cues

BLANK = 0.2
"""Standard deviation before training, everywhere."""


class DeviationHead(nn.Module):
    """From cues to the log of the standard deviation of log depth.

    It learns the half-width of the interval around the depth that holds 68 % of the errors. No
    gradient reaches the depth: the cues are numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(CUES, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)

    def blank(self) -> None:
        """Set the weights before training: `BLANK` everywhere, the same in every run."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            nn.init.kaiming_uniform_(self.first.weight, a=5**0.5)
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, math.log(BLANK))

    def forward(self, images: Tensor, depths: Tensor) -> Tensor:
        """Return the log of the standard deviation, not limited.

        Args:
            images: (B, 3, H, W) float, 0..1, RGB.
            depths: (B, 1, H, W).

        Returns:
            (B, 1, H, W) float32.
        """
        pictures = (images.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
        numbers = depths.detach()[:, 0].float().cpu().numpy()
        pairs = zip(pictures.contiguous().cpu().numpy(), numbers, strict=True)
        seen = np.stack([cues(image, depth) for image, depth in pairs])
        x = torch.from_numpy(seen).to(depths.device).permute(0, 2, 3, 1)
        with torch.autocast(depths.device.type, enabled=False):
            x = self.log_std(x).permute(0, 3, 1, 2)
            return interpolate(x, size=depths.shape[2:], mode="bilinear", align_corners=False)

    def log_std(self, seen: Tensor) -> Tensor:
        """(..., 1) log of the standard deviation for (..., CUES) cues."""
        result: Tensor = self.last(elu(self.first(seen)))
        return result

    def in_numpy(self, trained: tuple[int, int]) -> Deviation:
        """The same as inference computes it; `trained` is (width, height), pixels."""
        tensors = {name: value.float().cpu().numpy() for name, value in self.state_dict().items()}
        return Deviation(tensors, trained)
