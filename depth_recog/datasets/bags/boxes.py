# SPDX-License-Identifier: Apache-2.0
"""Boxes as visualization_msgs/Marker of type CUBE, with the box's pose and scale.

The marker's text, which RViz ignores for a CUBE, holds the other fields as JSON with all digits.
"""

from __future__ import annotations

import json
import math
from typing import Any

from depth_recog.datasets.bags.storage import DamagedError
from depth_recog.datasets.boxes import Box
from depth_recog.documents import parse_json
from depth_recog.errors import DocumentError
from depth_recog.interfaces import pose
from depth_recog.limits import DOCUMENT_BYTES

CUBE = 1
ADD = 0
_LARGEST_M = 1e6


def text(box: Box) -> str:
    """The marker text of a box; an unknown speed is null."""
    speed = box.speed if math.isfinite(box.speed) else None
    return json.dumps(
        {"track": box.track, "kind": box.kind, "speed": speed, "truncated": box.truncated}
    )


def from_markers(message: Any) -> tuple[Box, ...]:
    """Reads the boxes of a MarkerArray; ignores other markers. Raises DamagedError."""
    cubes = [m for m in message.markers if m.type == CUBE and m.action == ADD]
    return tuple(_box(marker) for marker in cubes)


def _box(marker: Any) -> Box:
    matrix = pose.from_message(marker.pose.position, marker.pose.orientation)
    if matrix is None:
        raise DamagedError(f"marker {marker.id} has no orientation")
    try:
        known = parse_json(marker.text, DOCUMENT_BYTES)
        speed = known["speed"]
        return Box(
            track=str(known["track"]),
            kind=str(known["kind"]),
            T_camera_from_box=matrix,
            size=_size(marker.scale),
            speed=math.nan if speed is None else float(speed),
            truncated=bool(known["truncated"]),
        )
    except (DocumentError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedError(
            f"the text of marker {marker.id} does not describe a box ({error})"
        ) from error


def _size(scale: Any) -> tuple[float, float, float]:
    """Raises ValueError for a size that no object has."""
    length, width, height = float(scale.x), float(scale.y), float(scale.z)
    if not all(0 <= side < _LARGEST_M for side in (length, width, height)):
        raise ValueError("a size that cannot be")
    return length, width, height
