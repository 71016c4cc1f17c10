# SPDX-License-Identifier: Apache-2.0
"""The depth network's decoder: upsampling, skip connections, convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _UpsamplingBlock(nn.Module):
    """Upsample by two, concatenate the encoder's features of that stride, convolve.

    Nearest-neighbour upsampling and a convolution take the place of block 102's deconvolution: a
    strided deconvolution leaves a checkerboard pattern (Odena et al., "Deconvolution and
    Checkerboard Artifacts", 2016).
    """

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ELU(inplace=True)
        )
        self.merge = nn.Sequential(
            nn.Conv2d(outputs + skip, outputs, 3, padding=1, padding_mode="reflect"),
            nn.ELU(inplace=True),
        )

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        x = nn.functional.interpolate(self.reduce(x), size=size, mode="nearest")
        if skip is not None:
            x = torch.cat((x, skip), 1)
        y: Tensor = self.merge(x)
        return y


class UpsamplingDecoder(nn.Module):
    """From the encoder's features at strides 2 to 32 to features at strides 16 to 1.

    Args:
        encoder_channels: channels at strides 2, 4, 8, 16, 32.
        widths: output channels at strides 16, 8, 4, 2, 1; fewer for fewer of these strides.
    """

    def __init__(self, encoder_channels: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        skips = [*reversed(encoder_channels[:-1]), 0]
        inputs = [encoder_channels[-1], *widths]
        self.blocks = nn.ModuleList(
            _UpsamplingBlock(i, s, o) for i, s, o in zip(inputs, skips, widths, strict=False)
        )

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """Return decoded features.

        Args:
            features: the encoder's five tensors, finest first.
            size: (height, width) of the image.

        Returns:
            One tensor for each of `widths`, coarsest first.
        """
        x = features[-1]
        skips: list[Tensor | None] = [*reversed(features[:-1]), None]
        outputs = []
        for block, skip in zip(self.blocks, skips, strict=False):
            x = block(x, skip, size if skip is None else (skip.shape[2], skip.shape[3]))
            outputs.append(x)
        return outputs
