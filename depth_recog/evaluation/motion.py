# SPDX-License-Identifier: Apache-2.0
"""When a thing counts as moving: by its world speed over one second, with a gap between."""

from __future__ import annotations

from depth_recog.datasets.boxes import Box

MOVING, PARKED, UNKNOWN = "moving", "parked", "unknown"

FASTER_THAN = 0.8
"""Metres per second from which a thing moves. People walk at 1.4; annotations of parked cars drift
by up to 0.3."""

SLOWER_THAN = 0.4
"""Metres per second below which a thing is parked. What is between the two is not judged."""


def motion_of(box: Box) -> str:
    """`MOVING`, `PARKED` or `UNKNOWN`."""
    if box.speed > FASTER_THAN:
        return MOVING
    return PARKED if box.speed < SLOWER_THAN else UNKNOWN
