# SPDX-License-Identifier: Apache-2.0
"""The topic `objects` of a depth node: parked cars, an oncoming car and one ahead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy")

import ros_messages
from robot import DEPTH, NODE, Robot, fleet, other_weights, unharmed
from sensor_msgs.msg import Image
from visualization_msgs.msg import Marker, MarkerArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.networks.weights import DEFAULT, SHIPPED, file_sha256

pytestmark = pytest.mark.ros

OBJECTS, OVERLAY = "objects", "debug/objects"
STILL, UNDECIDED, MOVING = "still", "undecided", "moving"
STREET = SyntheticStreet("exposure", seed=1, frames=20)
LEAD, PARKED = "lead-0", "parked-1-right-0"
SHIPPED_DEPTH = SHIPPED / f"{DEFAULT['depth']}.safetensors"


@cache
def frame(index: int) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    boxes = STREET.truth(index).boxes
    assert boxes is not None
    return STREET[index].image, boxes


class Driver(Robot):
    """A robot that drives down the street, with the street's own intrinsics."""

    def send_frame(self, index: int, stamp: int | None = None) -> int:
        stamp = self.new_stamp() if stamp is None else stamp
        camera = STREET.camera
        info = ros_messages.info_message(camera.size, stamp)
        info.k[0], info.k[4], info.k[2], info.k[5] = camera.fx, camera.fy, camera.cx, camera.cy
        info.p[0], info.p[5], info.p[2], info.p[6] = camera.fx, camera.fy, camera.cx, camera.cy
        self.infos.publish(info)
        self.images.publish(ros_messages.image_message(frame(index)[0], "rgb8", stamp))
        return stamp

    def array(self, stamp: int) -> Any:
        """Return the array with this stamp; only its markers carry one."""
        found = [a for a in self.heard[OBJECTS] if ros_messages.stamp_ns(a.markers[0]) == stamp]
        return found[0] if found else None

    def objects(self, index: int, stamp: int | None = None) -> MarkerArray:
        """Send a frame; return its marker array."""
        stamp = self.send_frame(index, stamp)
        return self.wait(lambda: self.array(stamp), f"objects of frame {index}, {stamp}")

    def drive(self, count: int) -> list[MarkerArray]:
        """Send frames after a gap that ends all tracks; return their marker arrays."""
        return [
            self.objects(index, None if index else self.new_stamp(10**9)) for index in range(count)
        ]


@pytest.fixture(scope="module")
def robot() -> Iterator[Driver]:
    with fleet(Driver) as start:
        process, peer = start("objects", {"depth_scale": 1.0, "width": 0})
        peer.advertise()
        peer.listen({OBJECTS: MarkerArray, DEPTH: Image})

        peer.repeat(
            lambda: peer.send_frame(0),
            lambda: peer.heard[OBJECTS] and peer.heard[DEPTH],
            "objects",
        )
        yield peer
        process.end()


alive = pytest.fixture(autouse=True)(unharmed)


def added(array: MarkerArray, ns: str) -> dict[int, Marker]:
    return {m.id: m for m in array.markers if m.ns == ns and m.action == Marker.ADD}


def decision(box: Marker) -> str:
    """Return the decision that the colour of a box shows."""
    assert box.color.b < 0.3
    if box.color.r > 0.9:
        return UNDECIDED if box.color.g > 0.6 else MOVING
    assert box.color.g > 0.6
    return STILL


def on(array: MarkerArray, boxes: tuple[Box, ...], track: str) -> Marker | None:
    """Return the largest marker whose centre is within the outline of an object."""
    (wanted,) = [box for box in boxes if box.track == track]
    camera = STREET.camera
    outline = wanted.outline(camera)
    assert outline is not None
    left, top, right, bottom = outline
    found = []
    for marker in added(array, "box").values():
        x, y, z = (getattr(marker.pose.position, axis) for axis in "xyz")
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        if left < u < right and top < v < bottom:
            found.append((json.loads(marker.text)["pixels"], marker.id, marker))
    return max(found)[2] if found else None


def test_a_drive_among_parked_cars(robot: Driver) -> None:
    arrays = robot.drive(20)
    shown: set[tuple[str, int]] = set()
    seen: dict[str, list[tuple[int, str, float]]] = {LEAD: [], PARKED: []}
    # The first frame has no partner.
    (marker,) = arrays[0].markers
    assert marker.action == Marker.DELETEALL
    for index, array in enumerate(arrays[1:], 1):
        assert {m.header.frame_id for m in array.markers} == {"cam"}
        assert len({ros_messages.stamp_ns(m) for m in array.markers}) == 1
        boxes, texts, arrows = (added(array, ns) for ns in ("box", "text", "velocity"))
        assert boxes.keys() == texts.keys()
        assert arrows.keys() <= {n for n, box in boxes.items() if decision(box) == MOVING}
        for box in boxes.values():
            said = json.loads(box.text)
            assert said["decision"] == decision(box)
            assert (said["number"], box.lifetime.nanosec) == (box.id, 500_000_000)
        for marker in array.markers:
            key = marker.ns, marker.id
            if marker.action == Marker.DELETE:
                assert key in shown
                shown.remove(key)
            else:
                shown.add(key)
        assert {n for ns, n in shown if ns == "box"} == boxes.keys()
        for track, found in seen.items():
            if index >= 4 and (box := on(array, frame(index)[1], track)) is not None:
                speed = 0.0
                if box.id in arrows:
                    start, end = arrows[box.id].points
                    way = (end.x - start.x, end.y - start.y, end.z - start.z)
                    speed = float(np.linalg.norm(way))
                    assert f": {speed:.1f} ± " in texts[box.id].text
                    assert texts[box.id].text.endswith(" m/s")
                found.append((box.id, decision(box), speed))
    lead, parked = seen[LEAD], seen[PARKED]
    assert len(lead) >= 12
    assert len(parked) >= 12
    # Both cars keep their ids.
    assert len({number for number, *_ in lead[-10:]}) == 1
    assert len({number for number, *_ in parked[-10:]}) == 1
    assert {motion for _, motion, _ in lead} == {MOVING}
    assert {motion for _, motion, _ in parked} == {STILL}
    true = next(box.speed for box in frame(10)[1] if box.track == LEAD)
    assert np.median([speed for *_, speed in lead]) == pytest.approx(true, rel=0.4)

    def counted() -> bool:
        """Whether regions of the last second are reported."""
        rows = robot.diagnostics
        return all(float(rows.get(f"regions {motion}", 0)) > 0 for motion in (MOVING, STILL))

    robot.repeat(lambda: robot.drive(8), counted, "numbers of regions")
    assert "moving" in robot.statuses["gate"].message


def test_the_unit_of_speeds(robot: Driver) -> None:
    assert robot.set_parameters(NODE, depth_scale=0.0) == (True, "")
    texts = [m.text for m in added(robot.drive(4)[-1], "text").values() if ":" in m.text]
    assert robot.set_parameters(NODE, depth_scale=1.0) == (True, "")
    assert texts
    assert all(text.endswith(" units/s") for text in texts)


@pytest.mark.parametrize("gate", ["image", "off", "all"])
def test_other_gates_publish_no_objects(robot: Driver, gate: str) -> None:
    assert added(robot.drive(4)[-1], "box")
    with robot.parameters(gate=gate):
        (marker,) = robot.objects(4).markers
    assert (marker.action, marker.header.frame_id) == (Marker.DELETEALL, "cam")
    assert added(robot.objects(5), "box")


def test_the_threshold_changes_while_images_stream(robot: Driver) -> None:
    with robot.parameters(gate_threshold=1000.0):
        strict = robot.drive(6)
    assert {decision(b) for array in strict for b in added(array, "box").values()} == {UNDECIDED}
    last = [robot.objects(index) for index in range(6, 14)][-1]
    assert {MOVING, STILL} <= {decision(box) for box in added(last, "box").values()}


def lead_at(robot: Driver) -> tuple[str, float, float]:
    """Return decision and distance of the car ahead, and the median depth, after some frames."""
    array = robot.drive(7)[-1]
    box = on(array, frame(6)[1], LEAD)
    assert box is not None
    depth = ros_messages.array_of(robot.depth_of(ros_messages.stamp_ns(box)))
    return decision(box), box.pose.position.z, float(np.nanmedian(depth[100:]))


def test_the_gates_own_weights(robot: Driver, tmp_path: Path) -> None:
    """With gate weights of its own, the gate does not depend on the depth network."""
    nearer = other_weights(tmp_path / "nearer.safetensors")
    sha, shipped = file_sha256(nearer), file_sha256(SHIPPED_DEPTH)
    motion, place, road = lead_at(robot)
    assert motion == MOVING
    # The next time a frame may have another partner.
    place = pytest.approx(place, rel=0.03)
    assert robot.set_parameters(NODE, gate_weights=DEFAULT["depth"]) == (True, "")
    robot.row("gate weights sha256", shipped)
    assert lead_at(robot) == (MOVING, place, road)
    assert robot.set_parameters(NODE, weights=str(nearer)) == (True, "")
    robot.row("weights sha256", sha)
    assert robot.diagnostics["gate weights sha256"] == shipped
    motion, same, changed = lead_at(robot)
    assert (motion, same) == (MOVING, place)
    assert changed < 0.9 * road
    # Then exchange the roles.
    assert robot.set_parameters(NODE, weights="", gate_weights=str(nearer)) == (True, "")
    robot.row("gate weights sha256", sha)
    assert robot.diagnostics["weights sha256"] == shipped
    _, changed, same = lead_at(robot)
    assert changed < 0.9 * place.expected
    assert same == road
    assert robot.set_parameters(NODE, gate_weights="") == (True, "")
    robot.wait(lambda: "gate weights" not in robot.diagnostics, "a report without gate weights")
    assert lead_at(robot) == (MOVING, place, road)


REFUSED = {
    "missing": ({}, "no such weights file"),
    "another network": ({"kind": "masks"}, "a depth network is needed"),
    "another unit": ({"unit": "relative"}, "relative"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_the_gate_cannot_take(robot: Driver, tmp_path: Path, case: str) -> None:
    changes, words = REFUSED[case]
    file = tmp_path / "other.safetensors"
    if changes:
        other_weights(file, **changes)
    reason = robot.refusal(NODE, gate_weights=str(file))
    assert words in reason
    assert "other.safetensors" in reason
    robot.settled()
    assert "gate weights" not in robot.diagnostics


def test_without_subscribers_of_objects_no_pair_is_made(robot: Driver) -> None:
    robot.stop_listening()
    robot.listen({DEPTH: Image})
    rows = f"gate {MOVING}", "gate alone"
    topic = "/objects/objects"
    robot.listened(DEPTH)
    before = robot.settled() and [int(robot.diagnostics[row]) for row in rows]
    for index in range(4):
        robot.depth_of(robot.send_frame(index))
    after = robot.settled() and [int(robot.diagnostics[row]) for row in rows]
    robot.listen({OBJECTS: MarkerArray})
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 4]
    robot.wait(lambda: robot.node.count_publishers(topic), "the publisher of objects")
    robot.repeat(lambda: robot.send_frame(0), lambda: robot.heard[OBJECTS], "objects")


def test_the_overlay_outlines_moving_objects(robot: Driver) -> None:
    robot.listen({OVERLAY: Image})
    robot.listened(DEPTH, OBJECTS, OVERLAY)
    robot.drive(8)
    stamp = robot.send_frame(8)
    picture, (image, boxes) = ros_messages.array_of(robot.of(OVERLAY, stamp)), frame(8)
    assert picture.shape == image.shape
    (lead,) = [box.outline(STREET.camera) for box in boxes if box.track == LEAD]
    left, top, right, bottom = (round(v) for v in lead)
    window = picture[top - 4 : bottom + 4, left - 4 : right + 4].reshape(-1, 3)
    assert (window == (255, 40, 40)).all(1).sum() > 20
    # Apart from outlines and text the picture is the image.
    assert (picture == image).all(2).mean() > 0.8
