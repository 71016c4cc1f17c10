# SPDX-License-Identifier: Apache-2.0
"""The settings of learning on the live stream."""

from __future__ import annotations

from pydantic import Field

from depth_recog.method.masking import DYNAMIC
from depth_recog.training.config import (
    AugmentationConfig,
    ConfigGroup,
    Count,
    LossWeights,
    Positive,
    Share,
    Weight,
)


class AdaptationSettings(ConfigGroup):
    """How the candidate learns, and what is kept for it."""

    masks: str = "masks-street"
    """mask weights (or .onnx)"""
    dynamic_classes: tuple[str, ...] = DYNAMIC
    """classes of objects that could move"""
    longest_gap: Positive = 0.5
    """longest time between neighbours, seconds"""
    block: int = Field(default=12, ge=5, le=100)
    """frames of a block: a short part of the stream, learnt from or held back as a whole"""
    hold_back: int = Field(default=3, ge=2)
    """one block in so many is held back for the judge"""
    memory: Positive = 64e6
    """largest size of the blocks that are learnt from, bytes; those that are held back may take
    half as much"""
    batch: Count = 4
    """live samples of a step"""
    anchors: Count = 2
    """synthetic samples of a step, with exact depth"""
    anchor_weight: Weight = 0.3
    """weight of the mean |log depth error| of the synthetic samples"""
    bfloat16: bool = True
    """use bfloat16 in the networks' arithmetic while learning"""
    rate: Positive = 1.5e-3
    """learning rate of the decoder"""
    epsilon: Positive = 1e-3
    """of Adam, as large as a typical gradient: weights about which the stream says little stay"""
    encoder_rate: Weight = 0.4
    """learning rate of the encoder, as a share of `rate`"""
    average: Share = 0.97
    """weight of the old value in the running average of the weights"""
    loss: LossWeights = LossWeights(scale=0.0, points=0.0, start=0.1)
    """weights of the parts of the loss; with points more is learnt and more forgotten, without
    `start` as much is learnt and more forgotten"""
    augment: AugmentationConfig = AugmentationConfig(zoom=1.0)
    """random changes of the images; with zoom as much is learnt, and static poses on other drives
    get worse"""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """seed of everything that is drawn at random"""
