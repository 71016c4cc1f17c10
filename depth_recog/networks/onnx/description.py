# SPDX-License-Identifier: Apache-2.0
"""The YAML file NAME.yaml beside an ONNX segmentation model: its classes and preprocessing.

docs/reference/networks.md lists the keys.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depth_recog.documents import read_yaml, yaml_text
from depth_recog.errors import DocumentError, WeightsError
from depth_recog.limits import CLASSES, NAME_CHARACTERS, NETWORK_SIDE
from depth_recog.texts import shown

LAYOUTS = ("NCHW", "NHWC")
OUTPUTS = ("scores", "labels")
PROVIDERS = ("cpu", "cuda", "tensorrt")
_LARGEST = 1e6


@dataclass(frozen=True)
class Description:
    """Input and output of a segmentation graph.

    The input is (image * scale - mean) / std, with an RGB image in 0..1.

    Attributes:
        classes: names of the preset objects, by class id.
        output: one of `OUTPUTS`.
        layout: of input and scores, one of `LAYOUTS`.
        mean: of each channel.
        std: of each channel.
        scale: None for 1, or for 255 where the graph takes integers.
        size: (width, height) of the input, pixels; None for the graph's own or the frame's.
        dynamic: classes that can move by default; None for those of Cityscapes.
        provider: one of `PROVIDERS`; None to follow the device.
    """

    classes: tuple[str, ...]
    output: str = "scores"
    layout: str = "NCHW"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float | None = None
    size: tuple[int, int] | None = None
    dynamic: tuple[str, ...] | None = None
    provider: str | None = None


def description_path(model: Path) -> Path:
    """Return NAME.yaml for NAME.onnx."""
    return model.with_suffix(".yaml")


def read_description(model: Path) -> Description:
    """Read and check the YAML file beside a model.

    Args:
        model: NAME.onnx.

    Raises:
        WeightsError: it is missing or no YAML, or a value cannot be used.
    """
    path = description_path(model)
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; a YAML beside {model.name} must name its classes, as "
            "`classes: [road, car, person]`"
        )
    try:
        values = read_yaml(path)
    except (OSError, DocumentError) as error:
        raise WeightsError(f"{path}: not readable YAML ({error})") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: keys with values are needed, as `classes: [road, car]`")
    known = Description.__dataclass_fields__
    for key in values:
        if key not in known:
            raise WeightsError(f"{path}: unknown key {shown(key)} (known: {', '.join(known)})")
    try:
        return _checked(values)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def description_text(description: Description) -> str:
    """Return the YAML text that `read_description` reads."""
    values = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(description).items()
        if value is not None
    }
    return yaml_text(values, sort_keys=False, width=96, default_flow_style=None)


def _checked(values: dict[str, Any]) -> Description:
    if "classes" not in values:
        raise ValueError("classes is missing: the names of the model's classes, by class id")
    classes = _names("classes", values["classes"])
    if not 1 <= len(classes) <= CLASSES:
        raise ValueError(f"classes: {len(classes)} names; 1 to {CLASSES} can be used")
    for name in classes:
        if classes.count(name) > 1:
            raise ValueError(f"classes: {name!r} is listed twice; give each class its own name")
    dynamic = values.get("dynamic")
    if dynamic is not None:
        dynamic = _names("dynamic", dynamic)
        for name in dynamic:
            if name not in classes:
                raise ValueError(f"dynamic: {name!r} is not one of the classes")
    scale, provider = values.get("scale"), values.get("provider")
    std = _numbers("std", values.get("std", (1, 1, 1)))
    if not all(std):
        raise ValueError("std: 0 is not allowed")
    return Description(
        classes,
        _one_of("output", values.get("output", "scores"), OUTPUTS),
        _one_of("layout", values.get("layout", "NCHW"), LAYOUTS),
        _numbers("mean", values.get("mean", (0, 0, 0))),
        std,
        None if scale is None else _number("scale", scale),
        _size(values.get("size")),
        dynamic,
        None if provider is None else _one_of("provider", provider, PROVIDERS),
    )


def _names(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{key}: a list of names is needed, as [road, car]")
    for name in value:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{key}: {shown(name)} is not a name; put it in quotes")
        if len(name) > NAME_CHARACTERS or not name.isprintable():
            raise ValueError(
                f"{key}: {shown(name)} cannot be shown: use at most {NAME_CHARACTERS} characters, "
                "none of them a control character"
            )
    return tuple(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ValueError(f"{key}: {shown(value)} is not a number")
    if abs(value) > _LARGEST:
        raise ValueError(f"{key}: {shown(value)} is too large")
    return float(value)


def _numbers(key: str, value: Any) -> tuple[float, float, float]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError(f"{key}: three numbers are needed, for red, green and blue")
    red, green, blue = (_number(key, one) for one in value)
    return red, green, blue


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and all(
        type(one) is int and 0 < one <= NETWORK_SIDE for one in value
    )
    if not whole or len(value) != 2:
        raise ValueError(
            f"size: {shown(value)} cannot be used: [width, height] in pixels, up to "
            f"{NETWORK_SIDE}, is needed"
        )
    return value[0], value[1]


def _one_of(key: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{key}: {shown(value)} is not one of {', '.join(known)}")
    return str(value)
