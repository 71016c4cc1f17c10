# SPDX-License-Identifier: Apache-2.0
"""Reads the properties of a depth network from a directory of Hugging Face's transformers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_recog.errors import WeightsError
from depth_recog.networks.own.designs import IMAGENET_MEAN, IMAGENET_STD

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
OURS = "depth_recog"
"""Key of config.json under which our training stores size, unit and scale."""

MODELS = ("depth_anything", "glpn")
"""Without DPT: transformers feeds it with squares only."""


@dataclass(frozen=True)
class ModelFacts:
    """Properties of a model.

    Attributes:
        model_type: one of `MODELS`.
        disparity: whether it gives disparity up to scale and shift instead of depth in metres.
        size: (width, height) of its training images, pixels.
        unit: "metres" or "relative".
        scale: factor on the inverse depth; 1 until training finds another.
        multiple: of which input width and height must be multiples, pixels.
        mean: subtracted from red, green and blue in 0..1.
        std: then divided by.
    """

    model_type: str
    disparity: bool
    size: tuple[int, int]
    unit: str
    scale: float
    multiple: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_facts(folder: Path) -> ModelFacts:
    """Read a directory.

    Raises:
        WeightsError: it is no such directory, or its model is not supported.
    """
    if not (folder / CONFIG).is_file():
        raise WeightsError(
            f"{folder}: a directory without {CONFIG}; give a weights file, or a directory of "
            "transformers"
        )
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder}: has no .safetensors; pickled weights are not read, because unpickling can "
            "run code: save the model with safe_serialization=True"
        )
    config = _json(folder / CONFIG)
    model_type = config.get("model_type")
    if model_type not in MODELS:
        raise WeightsError(
            f"{folder}: holds a {model_type!r} model; supported depth networks: {', '.join(MODELS)}"
        )
    metric = model_type == "glpn" or config.get("depth_estimation_type") == "metric"
    prepared = _json(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else None
    try:
        return _facts(config, prepared, model_type, metric)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{folder}: {CONFIG} or {PREPROCESSOR} is incomplete ({error})"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: a JSON object is needed")
    return content


def _facts(
    config: dict[str, Any], prepared: dict[str, Any] | None, model_type: str, metric: bool
) -> ModelFacts:
    ours = config.get(OURS, {})
    backbone = config.get("backbone_config") or {}
    own = backbone.get("image_size", config.get("image_size", 416))
    asked = (prepared or {}).get("size", own)
    if isinstance(asked, dict):
        asked = [asked.get("width", own), asked.get("height", own)]
    width, height = ours.get("size", asked if isinstance(asked, list) else [asked, asked])
    unit = ours.get("unit", "metres" if metric else "relative")
    if unit not in ("metres", "relative"):
        raise ValueError(f"unit {unit!r}")
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    if prepared is not None:
        plain = "image_mean" not in prepared or prepared.get("do_normalize") is False
        mean = (0.0, 0.0, 0.0) if plain else tuple(map(float, prepared["image_mean"]))
        std = (1.0, 1.0, 1.0) if plain else tuple(map(float, prepared["image_std"]))
    return ModelFacts(
        model_type,
        not metric,
        (int(width), int(height)),
        unit,
        float(ours.get("scale", 1.0)),
        int(config.get("patch_size", backbone.get("patch_size", 32))),
        mean,
        std,
    )
