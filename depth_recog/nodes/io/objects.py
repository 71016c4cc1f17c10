# SPDX-License-Identifier: Apache-2.0
"""Convert the gate's regions to RViz markers: a box, a text, and an arrow for the velocity.

A marker's id is its `region_id`, so RViz updates the marker that it already shows. Markers of
regions that are gone are deleted one by one, because deleting all of them makes RViz flicker. If
that message is lost, the marker's lifetime ends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_recog.interfaces.regions import record
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.result import GateResult, Region

BOX, TEXT, VELOCITY = "box", "text", "velocity"
"""Namespaces of the markers."""

COLORS = {
    Motion.STILL: (0.1, 0.8, 0.2),
    Motion.UNDECIDED: (1.0, 0.8, 0.0),
    Motion.MOVING: (1.0, 0.15, 0.15),
}
_ALPHA = 0.4
# A mask is a pixel or two wider than its object, and those pixels have the depth of the background.
# So limit the length of a box along the viewing direction to these multiples of its larger side; a
# car seen from behind has 2.4.
_LONGEST, _FLATTEST = 2.5, 0.1
# Height of a text divided by its distance: it looks equally high at every distance.
_TEXT_HEIGHT = 0.02
_SHAFT, _HEAD = 0.05, 0.12


class Objects:
    """Makes the markers of each frame, and deletes those of regions that are gone."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()

    def message(
        self, result: GateResult | None, header: Header, unit: str, lifetime_s: float
    ) -> MarkerArray:
        """The markers of one frame.

        Args:
            result: None where nothing is known of single objects: another gate, or no pair. Then,
                and where there are none, all that is shown is deleted.
            header: of the frame's image.
            unit: of speeds, for the texts.
            lifetime_s: after which they vanish, seconds.
        """
        markers = []
        for region in result.regions if result else ():
            if has_geometry(region):
                markers += _markers(region, header, unit, lifetime_s)
        shown = {(marker.ns, marker.id) for marker in markers}
        gone, self._shown = self._shown - shown, shown
        if not markers:
            return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
        markers += [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(gone)
        ]
        return MarkerArray(markers=markers)


def has_geometry(region: Region) -> bool:
    """Whether a region has a position and a size."""
    return bool(np.isfinite((region.centre, region.size)).all()) and region.centre[2] > 0


def box_sides(region: Region) -> NDArray[np.float64]:
    """(3,) width, height and length of a region's box, in the depth's unit."""
    width, height, length = region.size
    span = max(width, height)
    return np.array((width, height, np.clip(length, _FLATTEST * span, _LONGEST * span)))


def _markers(region: Region, header: Header, unit: str, lifetime_s: float) -> list[Marker]:
    sides = box_sides(region)
    height, span = sides[1], max(sides[:2])
    box = _marker(BOX, Marker.CUBE, region, header, lifetime_s)
    box.pose.position = Point(**_xyz(region.centre))
    box.scale = Vector3(**_xyz(sides))
    box.color.a = _ALPHA
    # Values for which a marker has no field; RViz does not draw the text of a cube.
    box.text = json.dumps(record(region))
    text = _marker(TEXT, Marker.TEXT_VIEW_FACING, region, header, lifetime_s)
    letters = _TEXT_HEIGHT * region.centre[2]
    text.pose.position = Point(**_xyz(region.centre - (0, height / 2 + letters, 0)))
    text.scale.z = letters
    text.text = caption(region, unit)
    markers = [box, text]
    if region.motion is Motion.MOVING and np.isfinite(region.velocity).all():
        arrow = _marker(VELOCITY, Marker.ARROW, region, header, lifetime_s)
        ends = region.centre, region.centre + region.velocity
        arrow.points = [Point(**_xyz(end)) for end in ends]
        arrow.scale = Vector3(**_xyz((_SHAFT * span, _HEAD * span, _HEAD * span)))
        markers.append(arrow)
    return markers


def caption(region: Region, unit: str) -> str:
    """Class, `region_id` and, unless still or unknown, speed with its standard deviation."""
    named = f"{region.name} {region.region_id}"
    if region.motion is Motion.STILL or not np.isfinite(region.speed):
        return named
    return f"{named}: {region.speed:.1f} ± {region.speed_std:.1f} {unit}"


def _marker(ns: str, kind: int, region: Region, header: Header, lifetime_s: float) -> Marker:
    red, green, blue = COLORS[region.motion]
    return Marker(
        header=header,
        ns=ns,
        id=region.region_id,
        type=kind,
        action=Marker.ADD,
        color=ColorRGBA(r=red, g=green, b=blue, a=1.0),
        lifetime=Duration(sec=int(lifetime_s), nanosec=int(lifetime_s % 1 * 1e9)),
    )


def _xyz(values: Iterable[float]) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=True))
