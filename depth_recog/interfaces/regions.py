# SPDX-License-Identifier: Apache-2.0
"""Regions of the object gate as JSON, for files and for markers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from depth_recog.method.gate.result import Region


def record(region: Region) -> dict[str, Any]:
    """A region as a JSON object; NaN becomes None."""
    return {
        "number": region.region_id,
        "class": region.name,
        "pixels": region.pixels,
        "features": region.features,
        "decision": region.motion.name.lower(),
        "score": _number(region.score),
        "why": region.why,
        "velocity": _numbers(region.velocity),
        "deviation": _numbers(region.velocity_std),
        "centre": _numbers(region.centre),
        "size": _numbers(region.size),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Iterable[float]) -> list[float] | None:
    """The vector; None if a component is not finite."""
    numbers = [float(value) for value in values]
    return numbers if all(map(math.isfinite, numbers)) else None
