# SPDX-License-Identifier: Apache-2.0
"""The keys of a config.json that describe a network, with values that make one of a usual size."""

from __future__ import annotations

import math
from typing import Any

from depth_recog.errors import WeightsError
from depth_recog.texts import shown

_KEYS = {
    "depth_anything": {
        *("patch_size", "initializer_range", "reassemble_hidden_size", "reassemble_factors"),
        *("neck_hidden_sizes", "fusion_hidden_size", "head_in_index", "head_hidden_size"),
        *("depth_estimation_type", "max_depth", "backbone_config"),
    },
    "dinov2": {
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio", "hidden_act"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"),
        *("layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias"),
        *("layerscale_value", "drop_path_rate", "use_swiglu_ffn", "apply_layernorm"),
        *("reshape_hidden_states", "use_mask_token", "out_features", "out_indices"),
    },
    "glpn": {
        *("num_channels", "num_encoder_blocks", "depths", "sr_ratios", "hidden_sizes"),
        *("patch_sizes", "strides", "num_attention_heads", "mlp_ratios", "hidden_act"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"),
        *("drop_path_rate", "layer_norm_eps", "decoder_hidden_size", "max_depth", "head_in_index"),
    },
}
_LAYERS = ("num_hidden_layers", "num_encoder_blocks", "depths")
_MOST_LAYERS = 100
_LARGEST = 100_000
_LONGEST = 100


def known_keys(config: dict[str, Any]) -> dict[str, Any]:
    """The keys that make the network; all others are left out.

    Args:
        config: content of a config.json whose model is supported.

    Raises:
        WeightsError: a value cannot be used, or the network would be fetched from elsewhere.
    """
    for key in ("backbone", "use_timm_backbone", "use_pretrained_backbone"):
        if config.get(key):
            raise WeightsError(
                f"config.json: {key} is {shown(config[key])}, which names a network that lies "
                "elsewhere: nothing is fetched; save the model with its backbone_config"
            )
    found = _of(config, str(config.get("model_type")))
    backbone = config.get("backbone_config")
    if backbone is not None:
        kind = backbone.get("model_type") if isinstance(backbone, dict) else None
        if kind != "dinov2":
            raise WeightsError(f"config.json: the backbone is {shown(kind)}, dinov2 is needed")
        found["backbone_config"] = _of(backbone, "dinov2")
    return found


def _of(config: dict[str, Any], kind: str) -> dict[str, Any]:
    found = {k: v for k, v in config.items() if k in _KEYS[kind] and k != "backbone_config"}
    for key, value in found.items():
        items = value if isinstance(value, list) else [value]
        most = _MOST_LAYERS if key in _LAYERS else _LARGEST
        if len(items) > _LONGEST or not all(_usual(item, most) for item in items):
            raise WeightsError(f"config.json: {key} is {shown(value)}, which cannot be used")
    return found


def _usual(value: Any, most: int) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST
    if isinstance(value, bool) or value is None:
        return True
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= most
