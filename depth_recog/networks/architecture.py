# SPDX-License-Identifier: Apache-2.0
"""Checks what a weights file says of its network, before anything is built of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from depth_recog.limits import CHANNELS, NETWORK_SIDE
from depth_recog.texts import shown

_NEEDED = {"design": "; refined_deeplab is known"}
_ENCODERS = ("edgetpu", "mobilenet_v2", "mobilenet_v3_small")
_MOST_WIDTHS = 5
_LEAST_SIDE = 16


def check_architecture(network: str, architecture: Mapping[str, Any]) -> None:
    """Check the arguments of a network's class.

    Args:
        network: "depth", "masks" or "pose".
        architecture: from the metadata of a file.

    Raises:
        ValueError: one is unknown, or its value would make no network, or one of any size.
    """
    known = _KNOWN[network]
    for key, value in architecture.items():
        if key not in known:
            raise ValueError(f"{shown(key)} is unknown; known: {', '.join(known)}")
        if not known[key](value):
            raise ValueError(f"{key} is {shown(value)}{_NEEDED.get(key, '')}")
    if network == "masks" and "design" not in architecture:
        raise ValueError(f"design is missing{_NEEDED['design']}")


def check_size(size: Any) -> tuple[int, int]:
    """Return (width, height) in pixels of a network's images. Raises ValueError."""
    if not isinstance(size, list) or len(size) != 2 or not all(map(_side, size)):
        raise ValueError(
            f"size is {shown(size)}; [width, height] from {_LEAST_SIDE} to {NETWORK_SIDE} pixels "
            "is needed"
        )
    return size[0], size[1]


def _side(value: Any) -> bool:
    return type(value) is int and _LEAST_SIDE <= value <= NETWORK_SIDE


def _one_of(*names: str) -> Callable[[Any], bool]:
    return lambda value: value in names


def _width(value: Any) -> bool:
    return type(value) is int and 1 <= value <= CHANNELS


def _widths(value: Any) -> bool:
    some = isinstance(value, list | tuple) and 1 <= len(value) <= _MOST_WIDTHS
    return some and all(map(_width, value))


def _two_widths(value: Any) -> bool:
    return _widths(value) and len(value) == 2


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 1e-6 < value < 1e6 and math.isfinite(value)


def _enlargement(value: Any) -> bool:
    return type(value) in (int, float) and value in (0.5, 1, 1.5, 2, 2.5, 3)


_KNOWN: dict[str, dict[str, Callable[[Any], bool]]] = {
    "depth": {
        "encoder": _one_of(*_ENCODERS),
        "widths": _widths,
        "near": _positive,
        "far": _positive,
        "canonical_focal": _positive,
        "deviation": lambda value: type(value) is bool,
    },
    "masks": {
        "design": _one_of("refined_deeplab"),
        "widths": _two_widths,
        "classes": _width,
        "enlargement": _enlargement,
        "temperature": _positive,
    },
    "pose": {"encoder": _one_of(*_ENCODERS[1:]), "width": _width},
}
