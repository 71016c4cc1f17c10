# SPDX-License-Identifier: Apache-2.0
"""Reads the properties of a depth network from a directory of Hugging Face's transformers."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_recog.documents import parse_json
from depth_recog.errors import DocumentError, WeightsError
from depth_recog.files import read_bytes
from depth_recog.limits import DOCUMENT_BYTES
from depth_recog.networks.architecture import check_size
from depth_recog.networks.own.designs import IMAGENET_MEAN, IMAGENET_STD
from depth_recog.texts import shown

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
OURS = "depth_recog"
"""Key of config.json with what is ours: size, unit, scale (by training), focal (by the user)."""

MODELS = ("depth_anything", "glpn")
"""Without DPT: transformers feeds it with squares only."""
_LARGEST_PATCH = 256


@dataclass(frozen=True)
class ModelFacts:
    """Properties of a model.

    Attributes:
        model_type: one of `MODELS`.
        disparity: whether it gives disparity up to scale and shift instead of depth in metres.
        size: (width, height) of its training images, pixels.
        unit: "metres" or "relative".
        scale: factor on the inverse depth; 1 until training finds another.
        affine: whether that disparity's scale and shift differ from image to image: until our
            training has made a depth of it.
        focal: vertical focal length that a metric model assumes, as a share of its input's height;
            0 where it is not known.
        multiple: of which input width and height must be multiples, pixels.
        mean: subtracted from red, green and blue in 0..1.
        std: then divided by.
    """

    model_type: str
    disparity: bool
    size: tuple[int, int]
    unit: str
    scale: float
    affine: bool
    focal: float
    multiple: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_facts(folder: Path) -> ModelFacts:
    """Read a directory.

    Raises:
        WeightsError: it is no such directory, or its model is not supported.
    """
    if not os.path.isfile(folder / CONFIG):
        raise WeightsError(
            f"{folder}: a directory without {CONFIG}; give a weights file, or a directory of "
            "transformers"
        )
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder}: has no .safetensors; pickled weights are not read, because unpickling can "
            "run code: save the model with safe_serialization=True"
        )
    files = {}
    for name in (CONFIG, PREPROCESSOR):
        if name == CONFIG or os.path.isfile(folder / name):
            files[name] = small_file(folder / name)
    return facts_of(folder, files)


def small_file(path: Path) -> bytes:
    """The bytes of a JSON file. Raises WeightsError."""
    try:
        return read_bytes(path, DOCUMENT_BYTES)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read as JSON ({error.strerror})") from error


def facts_of(folder: Path, files: Mapping[str, bytes]) -> ModelFacts:
    """The properties by the content of a directory's JSON files. Raises as `read_facts`."""
    config = parsed(folder / CONFIG, files[CONFIG])
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODELS:
        raise WeightsError(
            f"{folder}: holds a {shown(model_type)} model; supported depth networks: "
            f"{', '.join(MODELS)}"
        )
    metric = model_type == "glpn" or config.get("depth_estimation_type") == "metric"
    prepared = None
    if PREPROCESSOR in files:
        prepared = parsed(folder / PREPROCESSOR, files[PREPROCESSOR])
    try:
        return _facts(config, prepared, model_type, metric)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WeightsError(
            f"{folder}: {CONFIG} or {PREPROCESSOR} is incomplete ({error})"
        ) from error


def parsed(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object in a file's bytes. Raises WeightsError."""
    try:
        content = parse_json(data.decode(), DOCUMENT_BYTES)
    except (DocumentError, ValueError) as error:
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
        raise ValueError(f"unit {shown(unit)}")
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    if prepared is not None:
        plain = "image_mean" not in prepared or prepared.get("do_normalize") is False
        mean = (0.0, 0.0, 0.0) if plain else tuple(map(float, prepared["image_mean"]))
        std = (1.0, 1.0, 1.0) if plain else tuple(map(float, prepared["image_std"]))
    multiple = int(config.get("patch_size", backbone.get("patch_size", 32)))
    if not 1 <= multiple <= _LARGEST_PATCH:
        raise ValueError(f"patch_size {shown(multiple)}")
    scale = float(ours.get("scale", 1.0))
    if not (1e-6 < scale < 1e6 and len(mean) == len(std) == 3 and all(map(math.isfinite, mean))):
        raise ValueError("scale or image_mean")
    if not all(1e-6 < value < 1e6 for value in std):
        raise ValueError("image_std")
    focal = float(ours.get("focal", 0.0))
    if focal and not (metric and 0.05 < focal < 50):
        raise ValueError(f"focal {focal}: a metric model's focal length in heights of its input")
    size = check_size([int(width), int(height)])
    affine = not metric and "unit" not in ours
    return ModelFacts(model_type, not metric, size, unit, scale, affine, focal, multiple, mean, std)
