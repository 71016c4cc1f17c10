# SPDX-License-Identifier: Apache-2.0
"""Whether an annotated object moves: by its world speed over one second."""

from __future__ import annotations

from depth_recog.datasets.boxes import Box

MOVING, PARKED, UNKNOWN = "moving", "parked", "unknown"

FASTER_THAN = 0.8
"""Metres per second above which an object moves. People walk at 1.4; annotations of parked cars
drift by up to 0.3."""

SLOWER_THAN = 0.4
"""Metres per second below which an object is parked. Between the two it is `UNKNOWN`."""


def motion_of(box: Box) -> str:
    """Return `MOVING`, `PARKED` or `UNKNOWN`."""
    if box.speed > FASTER_THAN:
        return MOVING
    return PARKED if box.speed < SLOWER_THAN else UNKNOWN
