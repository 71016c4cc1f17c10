# SPDX-License-Identifier: Apache-2.0
"""What the gate by object says of a region, as JSON: in files and in markers alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from depth_recog.method.gate.result import Region


def record(region: Region) -> dict[str, Any]:
    """Everything that is known of a region; what is not (NaN) is None, for JSON has no NaN."""
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
    """All of them or nothing: half a vector is of no use."""
    numbers = [float(value) for value in values]
    return numbers if all(map(math.isfinite, numbers)) else None
