# SPDX-License-Identifier: Apache-2.0
"""The candidate: a copy of the active weights that learns from blocks and anchors."""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.training.config import TrainingConfig
from depth_recog.training.data.augmentation import coloured
from depth_recog.training.data.batches import TrainingRecording, TripletBatch, TripletDataset
from depth_recog.training.depth.model import DepthModel, Prediction
from depth_recog.training.depth.objective import objective
from depth_recog.training.judge.anchors import AnchorFrames, exact_error
from depth_recog.training.loop.batches import collate
from depth_recog.training.loop.optimiser import make_optimiser, update_average
from depth_recog.training.loop.trainer import LARGEST_GRADIENT

WARM_UP = 10
"""Steps in which the learning rate rises."""


class Learner:
    """Takes optimiser steps on a copy of the start.

    Args:
        start: the weights to begin with; copied.
        settings: rates, batch, loss.
        device: of the computation.
    """

    def __init__(
        self, start: nn.Module, settings: AdaptationSettings, device: torch.device
    ) -> None:
        self._settings, self._device = settings, device
        self._config = TrainingConfig(
            seed=settings.seed,
            dynamic_classes=settings.dynamic_classes,
            loss=settings.loss,
            augment=settings.augment,
        )
        self._drawn = 0
        self._rng = np.random.default_rng(settings.seed)
        self.restart(start)

    def restart(self, weights: nn.Module) -> None:
        """Begin anew from other weights; what was learnt is dropped, and the optimiser with it."""
        network = copy.deepcopy(weights).eval().requires_grad_(True)
        self._model = DepthModel(cast(DepthNetwork, network), None)
        self._model.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self._model).requires_grad_(False)
        settings = self._settings
        rates = settings.rate, settings.encoder_rate, settings.epsilon
        self._optimiser = make_optimiser(self._model, self._model.encoder_parameters(), *rates)
        self.steps = 0

    @property
    def network(self) -> nn.Module:
        """The running average of the weights that learn."""
        return self.average.depth

    def step(self, live: list[TrainingRecording], anchors: AnchorFrames) -> dict[str, float]:
        """Take one step; returns the parts of the loss. No step where the gradient is not finite.

        Args:
            live: blocks to learn from; at least one.
            anchors: synthetic frames of the same size.
        """
        settings = self._settings
        batch = self._batch(live).to(self._device)
        fixed = anchors.drawn(self._rng, settings.anchors, settings.augment)
        image = coloured(batch.frames[:, 0].float() / 255, batch.colours)
        focal = batch.intrinsics[:, 1, 1]
        # One forward pass for both.
        images = torch.cat((image, fixed.images.to(self._device)))
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=settings.bfloat16):
            both = self._model(images, torch.cat((focal, fixed.focal.to(self._device))), None)
        count = len(batch.frames)
        predicted = Prediction([inverse[:count].float() for inverse in both.inverses], None)
        terms, _ = objective(batch, predicted, settings.loss, _unchanged)
        exact = exact_error(both.inverses[0][count:].float(), fixed.depth.to(self._device))
        total = terms.total + settings.anchor_weight * exact
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        trained = [p for p in self._model.parameters() if p.grad is not None]
        gradient = nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
        if torch.isfinite(gradient):
            self._move()
        losses = {name: float(value.detach()) for name, value in terms._asdict().items()}
        ours = {"anchors": float(exact.detach()), "gradient": float(gradient)}
        return losses | ours | {"total": float(total.detach())}

    def _move(self) -> None:
        for group in self._optimiser.param_groups:
            rise = min(1.0, (self.steps + 1) / WARM_UP)
            group["lr"] = self._settings.rate * group["share"] * rise
        self._optimiser.step()
        self.steps += 1
        share = min(self._settings.average, self.steps / (9 + self.steps))
        update_average(self.average, self._model, share)

    def _batch(self, live: list[TrainingRecording]) -> TripletBatch:
        self._drawn += 1
        dataset = TripletDataset(live, self._config, False)
        drawn = dataset.drawn(self._drawn, self._settings.batch)
        return collate([dataset.read(self._drawn, int(i), self._rng) for i in drawn])


def _unchanged(values: Tensor) -> Tensor:
    return values
