# SPDX-License-Identifier: Apache-2.0
"""How much each weight matters to what the start can do, measured on synthetic streets.

The mean squared gradient of the loss, the diagonal of Fisher's information, says how fast the loss
grows when a weight moves. Weights that matter are pulled back to the start while others learn.

Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", 2017.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from depth_recog.training.config import AugmentationConfig
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.depth.objective import SCALE_WEIGHTS
from depth_recog.training.judge.anchors import AnchorFrames, exact_error

_BATCHES, _BATCH = 16, 2
_HIGH = 0.9
"""Quantile of the importance that becomes 1."""
_SAMPLES = 10
"""One weight in so many is used for the quantile."""


class Importance:
    """The start's weights, and how much each matters.

    Args:
        start: the start; in evaluation mode.
        anchors: synthetic frames.
        device: of the computation.
    """

    def __init__(self, start: DepthModel, anchors: AnchorFrames, device: torch.device) -> None:
        self._start = {name: p.detach().clone() for name, p in start.named_parameters()}
        rng = np.random.default_rng(0)
        squares: dict[str, Tensor] = {}
        for _ in range(_BATCHES):
            batch = anchors.drawn(rng, _BATCH, AugmentationConfig())
            images = batch.images.to(device).contiguous(memory_format=torch.channels_last)
            inverses = start(images, batch.focal.to(device), None).inverses
            depth = batch.depth.to(device)
            error = torch.zeros((), device=device)
            for weight, inverse in zip(SCALE_WEIGHTS, inverses, strict=True):
                size = depth.shape[2:]
                full = interpolate(inverse, size=size, mode="bilinear", align_corners=False)
                error = error + weight * exact_error(full, depth)
            start.zero_grad(set_to_none=True)
            error.backward()  # type: ignore[no-untyped-call]
            for name, parameter in start.named_parameters():
                if parameter.grad is not None:
                    square = parameter.grad.square() / _BATCHES
                    squares[name] = squares[name] + square if name in squares else square
        start.zero_grad(set_to_none=True)
        every = torch.cat([square.flatten()[::_SAMPLES] for square in squares.values()]).sqrt()
        high = float(np.quantile(every.cpu().numpy(), _HIGH))
        self._values = {name: square.sqrt() / max(high, 1e-12) for name, square in squares.items()}

    @torch.no_grad()
    def pull(self, model: nn.Module, strength: float) -> None:
        """Move weights back to the start by 1 - exp(-strength x importance) of their distance."""
        for name, parameter in model.named_parameters():
            if name in self._values:
                part = 1 - torch.exp(-strength * self._values[name])
                parameter.lerp_(self._start[name], part)
