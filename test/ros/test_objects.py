# SPDX-License-Identifier: Apache-2.0
"""Regions as markers and as JSON: what RViz shows after any sequence of frames."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="the markers are ROS messages")

from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_recog.interfaces.regions import record
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.result import GateResult, Region
from depth_recog.nodes.io.objects import BOX, COLORS, TEXT, VELOCITY, Objects

NOTHING = np.full(3, np.nan)
HEADER = Header(frame_id="eye")
HEADER.stamp.sec = 7


def region(number: int = 5, motion: Motion = Motion.MOVING, **changes: Any) -> Region:
    values: dict[str, Any] = {
        "name": "car",
        "pixels": 400,
        "features": 9,
        "score": 12.0,
        "why": "score 12.0 above 3",
        "velocity": np.array((3.0, 0.0, 4.0)),
        "velocity_std": np.array((0.5, 9.0, 1.0)),
        "centre": np.array((1.0, 0.5, 12.0)),
        "size": np.array((2.0, 1.5, 3.0)),
    }
    return Region(region_id=number, motion=motion, **(values | changes))


def result(*regions: Region) -> GateResult:
    empty = np.zeros((1, 1))
    return GateResult(regions, empty.astype(np.int32), empty.astype(np.uint8), empty.astype("f4"))


def of(array: MarkerArray, ns: str) -> Marker:
    (marker,) = [m for m in array.markers if m.ns == ns and m.action == Marker.ADD]
    return marker


class Rviz:
    """The markers on the screen, by the rules of visualization_msgs."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, int], Marker] = {}

    def take(self, array: MarkerArray) -> None:
        for marker in array.markers:
            assert marker.header == HEADER
            if marker.action == Marker.DELETEALL:
                assert marker.ns == ""  # with a namespace RViz would delete only that
                self.shown = {}
            elif marker.action == Marker.DELETE:
                assert (marker.ns, marker.id) in self.shown
                del self.shown[marker.ns, marker.id]
            else:
                self.shown[marker.ns, marker.id] = marker


def test_a_moving_object() -> None:
    array = Objects().message(result(region()), HEADER, "m/s", 0.75)
    box, text, arrow = of(array, BOX), of(array, TEXT), of(array, VELOCITY)
    for marker in (box, text, arrow):
        assert (marker.header, marker.id) == (HEADER, 5)
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 750_000_000)
        assert (marker.color.r, marker.color.g, marker.color.b) == COLORS[Motion.MOVING]
        assert marker.pose.orientation.w == 1
    assert (box.type, text.type, arrow.type) == (
        Marker.CUBE,
        Marker.TEXT_VIEW_FACING,
        Marker.ARROW,
    )
    place = box.pose.position
    assert (place.x, place.y, place.z) == (1.0, 0.5, 12.0)
    assert (box.scale.x, box.scale.y, box.scale.z) == (2.0, 1.5, 3.0)
    # Standard deviation along the velocity: 0.6 of 0.5 in x and 0.8 of 1.0 in z.
    assert text.text == "car 5: 5.0 ± 0.9 m/s"
    # Above the box; y points down.
    assert text.pose.position.y < 0.5 - 1.5 / 2
    start, end = arrow.points
    assert (end.x - start.x, end.y - start.y, end.z - start.z) == (3.0, 0.0, 4.0)
    assert json.loads(box.text) == record(region())


@pytest.mark.parametrize("motion", [Motion.STILL, Motion.UNDECIDED])
def test_an_object_that_does_not_move_has_no_arrow(motion: Motion) -> None:
    array = Objects().message(result(region(motion=motion)), HEADER, "units/s", 0.5)
    assert {m.ns for m in array.markers} == {BOX, TEXT}
    said = "car 5" if motion is Motion.STILL else "car 5: 5.0 ± 0.9 units/s"
    assert of(array, TEXT).text == said
    color = of(array, BOX).color
    assert (color.r, color.g, color.b) == COLORS[motion]
    assert 0 < color.a < 1


def test_an_unmeasured_object_has_no_speed() -> None:
    unknown = region(score=float("nan"), velocity=NOTHING, velocity_std=NOTHING)
    array = Objects().message(result(unknown), HEADER, "m/s", 0.5)
    assert of(array, TEXT).text == "car 5"
    assert {m.ns for m in array.markers} == {BOX, TEXT}
    found = json.loads(of(array, BOX).text)
    assert found["score"] is found["velocity"] is found["deviation"] is None
    assert found["centre"] == [1.0, 0.5, 12.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"centre": NOTHING, "size": NOTHING},
        {"centre": np.array((0, 0, np.inf))},
        {"centre": np.array((0.0, 0.0, 0.0))},
    ],
)
def test_a_region_without_a_position_has_no_marker(bad: dict[str, Any]) -> None:
    array = Objects().message(result(region(7, **bad), region(8)), HEADER, "m/s", 0.5)
    assert {m.id for m in array.markers} == {8}


@given(st.floats(0.01, 30), st.floats(0.01, 30), st.floats(0, 500))
def test_the_length_of_a_box_is_limited(width: float, height: float, length: float) -> None:
    """The depth at the edge of a mask may be that of a distant background."""
    size = np.array((width, height, length))
    scale = of(Objects().message(result(region(size=size)), HEADER, "m/s", 0.5), BOX).scale
    assert (scale.x, scale.y) == (width, height)
    assert 0 < scale.z <= 2.5 * max(width, height) + 1e-9
    if 0.1 * max(width, height) <= length <= 2.5 * max(width, height):
        assert scale.z == length


NUMBERS = st.lists(st.integers(1, 6), unique=True)
FRAMES = st.lists(st.one_of(st.none(), NUMBERS), max_size=12)


@given(FRAMES)
def test_rviz_shows_exactly_the_regions_of_the_frame(frames: list[list[int] | None]) -> None:
    objects, rviz = Objects(), Rviz()
    for numbers in frames:
        # Odd ids move.
        said = numbers and result(*(region(n, Motion.MOVING if n % 2 else Motion.STILL)
                                     for n in numbers))  # fmt: skip
        array = objects.message(said or None, HEADER, "m/s", 0.5)
        assert array.markers, "an array without a marker has no stamp"
        rviz.take(array)
        expected = {(ns, n) for n in numbers or () for ns in (BOX, TEXT)}
        expected |= {(VELOCITY, n) for n in numbers or () if n % 2}
        assert set(rviz.shown) == expected


def test_a_speed_of_zero_has_a_deviation() -> None:
    assert region(velocity=np.zeros(3)).speed_std == 9.0
