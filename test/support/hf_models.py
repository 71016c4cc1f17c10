# SPDX-License-Identifier: Apache-2.0
"""Tiny depth models of transformers with random weights, saved as directories."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    GLPNConfig,
    GLPNForDepthEstimation,
)
from transformers.utils import logging

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def depth_anything(folder: Path, **changes: Any) -> Path:
    """Save a Depth Anything of 90,000 parameters; it predicts disparity, or metres if `metric`."""
    backbone = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        patch_size=14,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **changes,
    )
    torch.manual_seed(0)
    model = DepthAnythingForDepthEstimation(config)
    # With the default initialisation its output would not depend on the image.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("neck", "head")) and parameter.dim() > 1:
                parameter.normal_(0, 1.5 / parameter[0].numel() ** 0.5)
        model.head.conv3.weight.abs_()
    return saved(model, folder, size={"height": 56, "width": 112})


def glpn(folder: Path) -> Path:
    config = GLPNConfig(
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        hidden_sizes=[8, 8, 16, 16],
        decoder_hidden_size=8,
        max_depth=10,
    )
    torch.manual_seed(0)
    folder = saved(GLPNForDepthEstimation(config), folder)
    # The processor scales images to 0..1, without normalisation.
    (folder / "preprocessor_config.json").write_text('{"do_rescale": true, "size_divisor": 32}')
    return folder


def saved(model: Any, folder: Path, **prepared: Any) -> Path:
    logging.disable_progress_bar()
    model.eval().save_pretrained(folder)
    values = {"image_mean": MEAN, "image_std": STD, "do_normalize": True} | prepared
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder
