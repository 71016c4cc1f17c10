# SPDX-License-Identifier: Apache-2.0
"""A depth network of Hugging Face's transformers, with the interface of `DepthNetwork`.

Some models give disparity d up to scale and shift. Their depth here is 1 / (s (d + EPSILON)), with
s = 1 until training finds another value: without a unit, and wrong by the unknown shift, which
`method.stream_affine` finds.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from depth_recog.networks.hf.facts import OURS, PREPROCESSOR, ModelFacts

EPSILON = 0.01
"""Added to disparities, so that 0 (the sky) becomes a depth of 100."""

NEAREST = 1e-3
"""Smallest depth, in the model's unit."""


class HfDepth(nn.Module):
    """A `DepthModel`, with the interface of `DepthNetwork` that training needs.

    Args:
        model: of transformers, for depth estimation.
        facts: from its directory.
    """

    def __init__(self, model: nn.Module, facts: ModelFacts) -> None:
        super().__init__()
        self.model = model
        self._facts = facts
        self.heads = nn.ModuleList()  # one output; coarser scales are averaged from it
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        if facts.disparity:
            self.log_scale = nn.Parameter(torch.tensor(math.log(facts.scale)))

    @property
    def encoder(self) -> nn.Module:
        """The pretrained part."""
        for name in ("backbone", "glpn"):
            part = getattr(self.model, name, None)
            if isinstance(part, nn.Module):
                return part
        return self.model

    def _answer(self, image: Tensor) -> Tensor:
        """Return the model's output, (B, 1, H, W) float32: disparity, or depth in metres."""
        size = image.shape[2:]
        fed = [max(1, round(side / self._facts.multiple)) * self._facts.multiple for side in size]
        if list(size) != fed:
            image = interpolate(
                image, size=fed, mode="bilinear", align_corners=False, antialias=True
            )
        answer = self.model(pixel_values=(image - self.mean) / self.std).predicted_depth
        answer = answer.float().unsqueeze(1)
        if answer.shape[2:] == size:
            return cast(Tensor, answer)
        return interpolate(answer, size=size, mode="bilinear", align_corners=False)

    def _inverse(self, image: Tensor, focal: Tensor) -> Tensor:
        answer = self._answer(image)
        if self._facts.disparity:
            return self.log_scale.exp() * (answer.clamp(min=0) + EPSILON)
        inverse = 1 / answer.clamp(min=NEAREST)
        if not self._facts.focal:
            return inverse
        # What looks as large through a longer lens is farther away.
        assumed = self._facts.focal * image.shape[2]
        return inverse * (assumed / focal).view(-1, 1, 1, 1)

    def inverse_depths(self, image: Tensor, focal: Tensor) -> list[Tensor]:
        """Return inverse depth at strides 1, 2 and 4, see `DepthNetwork.inverse_depths`."""
        inverse = self._inverse(image, focal)
        return [inverse, avg_pool2d(inverse, 2), avg_pool2d(inverse, 4)]

    def forward(self, image: Tensor, focal: Tensor) -> Tensor:
        """Return the depth of an image.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB; of any size.
            focal: (B,) float, vertical focal length in pixels; used where the focal length is known
                that the model assumes.

        Returns:
            (B, 1, H, W) float: metres, or without a unit (see the module).
        """
        return 1 / self._inverse(image, focal)

    @property
    def scaled(self) -> bool:
        """Whether the depth has a scale: metres, or one found by training."""
        return not self._facts.disparity or self._facts.unit == "metres"

    def rescale(self, factor: float) -> None:
        """Multiply the inverse depth of a disparity model."""
        with torch.no_grad():
            self.log_scale.add_(math.log(factor))

    def freeze_unused(self) -> None:
        """Freeze parameters without influence on the depth.

        Distributed training waits for a gradient of every parameter that is not frozen.
        """
        self.requires_grad_(True)
        side = 4 * self._facts.multiple
        with torch.enable_grad():
            image = torch.rand(1, 3, side, side, device=self.mean.device)
            self.inverse_depths(image, image.new_ones(1))[0].sum().backward()  # type: ignore[no-untyped-call]
        for parameter in self.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None

    def save(self, folder: Path, size: tuple[int, int], unit: str) -> None:
        """Write the directory that `load_directory` reads; raises OSError.

        Args:
            folder: missing or empty.
            size: (width, height) of the images in training, pixels.
            unit: "metres" or "relative".
        """
        scale = float(self.log_scale.exp()) if self._facts.disparity else 1.0
        model = cast(Any, self.model)
        ours = {"size": list(size), "unit": unit, "scale": scale}
        if self._facts.focal:
            ours["focal"] = self._facts.focal
        setattr(model.config, OURS, ours)
        model.save_pretrained(folder, safe_serialization=True)
        plain = {"image_mean": list(self._facts.mean), "image_std": list(self._facts.std)}
        text = json.dumps(plain | {"do_rescale": True, "do_normalize": True}, indent=2)
        (folder / PREPROCESSOR).write_text(text + "\n", encoding="utf-8")
