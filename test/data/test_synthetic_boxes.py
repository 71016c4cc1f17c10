# SPDX-License-Identifier: Apache-2.0
"""The synthetic street's boxes enclose the objects and move with them."""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from street_files import unproject

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.street import SCENES, SyntheticStreet
from depth_recog.datasets.street.mesh import Mesh
from depth_recog.datasets.street.raster import project, visible

Float = NDArray[np.float64]

PERSON, CAR = 11, 13
SMALL = {"width": 208, "height": 64}
KINDS = {"person": PERSON, "car": CAR}


def points(street: SyntheticStreet, truth: Truth) -> Float:
    """(H, W, 3) in the camera's frame; the sky far away."""
    return unproject(np.minimum(truth.depth, 1e6), street.camera)


def inside(box: Box, cloud: Float, slack: float = 1e-4) -> NDArray[np.bool_]:
    """`Box.contains` with a tolerance for single precision."""
    return replace(box, size=tuple(s + 2 * slack for s in box.size)).contains(cloud)


def by_track(truth: Truth) -> dict[str, Box]:
    boxes = {box.track: box for box in truth.boxes}
    assert len(boxes) == len(truth.boxes), "a track has one box a frame"
    return boxes


def world(truth: Truth, box: Box) -> Float:
    return np.asarray(truth.world_from_camera @ box.T_camera_from_box)


@pytest.mark.parametrize("scene", SCENES)
def test_boxes_hold_the_pixels_of_cars_and_people_and_each_has_some(scene: str) -> None:
    street = SyntheticStreet(scene, seed=2, frames=200, **SMALL)
    sizes: dict[str, tuple[float, float, float]] = {}
    for i in range(0, 200, 25):
        truth = street.truth(i)
        cloud, rest = points(street, truth), np.isin(truth.labels, (PERSON, CAR))
        for track, box in by_track(truth).items():
            held = inside(box, cloud) & (truth.labels == KINDS[box.kind])
            assert held.any(), f"{track} has no pixel in frame {i}"
            rest &= ~held
            # An object keeps its size, and stands upright on the ground.
            assert sizes.setdefault(track, box.size) == box.size
            pose = world(truth, box)
            np.testing.assert_allclose(pose[:3, 2], (0, -1, 0), atol=1e-9)
            assert pose[1, 3] + box.size[2] / 2 == pytest.approx(0.0, abs=1e-6)
        assert not rest.any(), f"frame {i}: pixels outside every box"
    assert bool(sizes) == (scene != "empty")


def test_a_box_is_as_large_as_what_it_holds() -> None:
    """Compared with the surfaces: a car fills its box, a walker fills it over its steps."""
    street = SyntheticStreet("street", seed=0, frames=40, **SMALL)
    reach: dict[str, Float] = {}
    for i in range(0, 40, 3):
        view, truth = street.view(i), street.truth(i)
        boxes = by_track(truth)
        for k, item in enumerate(view.objects, start=1):
            if item.track not in boxes:
                continue
            box = boxes[item.track]
            mesh = only(view.mesh, view.object_ids[1:] == k)
            # Points on an ellipsoid: its axes map them to the unit sphere.
            sphere = np.random.default_rng(0).normal(size=(2000, 3))
            sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
            skin = [
                c + sphere @ np.linalg.inv(m).T for c, m in zip(mesh.centre, mesh.axes, strict=True)
            ]
            cloud = np.concatenate((mesh.corners.reshape(-1, 3), *skin))
            local = (cloud - box.T_camera_from_box[:3, 3]) @ box.T_camera_from_box[:3, :3]
            local = local[local[:, 2] >= -box.size[2] / 2 - 1e-6]  # above the ground
            room = np.array(box.size) / 2 - np.stack((-local.min(0), local.max(0)))
            assert room.min() > -1e-6
            if box.kind == "car":
                assert room.max() < 1e-6
            reach[item.track] = np.minimum(reach.get(item.track, room), room)
    loosest = [room.max() for track, room in reach.items() if track.startswith("walker")]
    assert np.median(loosest) < 0.02


@pytest.mark.parametrize("scene", ["street", "start_stop", "occlusion", "still"])
def test_speed_is_the_displacement_over_the_second_around_the_frame(scene: str) -> None:
    """The reference is the displacement of boxes five frames before and after."""
    street = SyntheticStreet(scene, seed=1, frames=140, **SMALL)
    seen = {"person": 0, "car": 0, "parked": 0}
    for i in (20, 47, 90, 121):
        before, now, after = (street.truth(k) for k in (i - 5, i, i + 5))
        first, last = by_track(before), by_track(after)
        for track, box in by_track(now).items():
            if track in first and track in last:
                way = world(after, last[track])[:3, 3] - world(before, first[track])[:3, 3]
                assert box.speed == pytest.approx(float(np.hypot(way[0], way[2])), abs=0.02)
                seen["parked" if track.startswith("parked") else box.kind] += 1
                if track.startswith("parked"):
                    assert box.speed == 0.0
    assert seen["car"] > 0
    assert (seen["person"] > 0) == (scene in ("street", "occlusion"))
    assert (seen["parked"] > 0) == (scene != "still")


@pytest.mark.parametrize("scene", ["street", "start_stop", "occlusion"])
def test_moving_pixels_are_those_of_boxes_that_move_at_that_moment(scene: str) -> None:
    """`moving` is compared with the motion between frames a millisecond apart."""
    street = SyntheticStreet(scene, seed=3, frames=40_000, rate_hz=1000.0, **SMALL)
    states = set()
    for i in range(1_003, 16_000, 1_511):
        truth, following = street.truth(i), street.truth(i + 1)
        cloud, later = points(street, truth), by_track(following)
        moving = np.zeros_like(truth.moving)
        unknown = np.zeros_like(truth.moving)
        for track, box in by_track(truth).items():
            held = inside(box, cloud) & (truth.labels == KINDS[box.kind])
            if track not in later:
                unknown |= held
                continue
            way = world(following, later[track])[:3, 3] - world(truth, box)[:3, 3]
            moves = bool(np.linalg.norm(way) > 1e-6)
            states.add((box.speed > 0.1, moves))
            if moves:
                moving |= held
        np.testing.assert_array_equal(truth.moving & ~unknown, moving & ~unknown)
        assert unknown.mean() < 0.01
    assert (True, True) in states
    assert (False, False) in states


@pytest.mark.parametrize("scene", ["street", "crossing", "oncoming"])
def test_flow_goes_where_the_boxes_go(scene: str) -> None:
    """A car is rigid: its points are constant in its box's frame."""
    street = SyntheticStreet(scene, seed=4, frames=80)
    camera, compared, movers = street.camera, 0, 0
    for i in (11, 40, 71):
        truth, following = street.truth(i), street.truth(i + 1)
        cloud, later = points(street, truth), by_track(following)
        boxes = by_track(truth)
        held_by = {track: inside(box, cloud) for track, box in boxes.items()}
        alone = np.sum(list(held_by.values()), axis=0) == 1
        for track, box in boxes.items():
            if box.kind != "car" or track not in later:
                continue
            held = held_by[track] & alone & (truth.labels == CAR)
            step = later[track].T_camera_from_box @ np.linalg.inv(box.T_camera_from_box)
            x, y, z = (cloud[held] @ step[:3, :3].T + step[:3, 3]).T
            there = np.stack((camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy), -1)
            expected = there - np.argwhere(held)[:, ::-1]
            flow = truth.flow[held]
            use = (z > 0.5) & (np.abs(expected) < 500).all(-1)
            assert np.abs(flow - expected)[use].max(initial=0.0) < 0.01
            compared += int(use.sum())
            movers += int(use.sum()) if box.speed > 0 else 0
    assert compared > 500
    assert movers > 100


def test_boxes_at_the_image_border_are_truncated() -> None:
    street = SyntheticStreet("oncoming", seed=0, frames=120)
    found = {True: 0, False: 0}
    for i in range(0, 120, 10):
        truth = street.truth(i)
        cloud = points(street, truth)
        for box in truth.boxes or ():
            held = inside(box, cloud) & (truth.labels == CAR)
            y, x = np.nonzero(held)
            at_border = bool(x.min() == 0 or x.max() == 415 or y.max() == 127)
            assert box.truncated or not at_border
            outline = box.outline(street.camera)
            if outline is not None:
                left, top, right, bottom = outline
                cut = left == -0.5 or right == 415.5 or top == -0.5 or bottom == 127.5
                assert box.truncated == cut
                assert left - 1 < x.min() <= x.max() < right + 1
                assert top - 1 < y.min() <= y.max() < bottom + 1
            found[box.truncated] += 1
    assert min(found.values()) > 5


def only(mesh: Mesh, pick: NDArray[np.bool_]) -> Mesh:
    """The selected surfaces of a mesh, polygons first."""
    count = len(mesh.corners)
    values = {}
    for f in fields(Mesh):
        is_round = f.name in ("centre", "axes", "shift") or f.name.startswith("round")
        values[f.name] = getattr(mesh, f.name)[pick[count:] if is_round else pick[:count]]
    return Mesh(**values)


def visible_shares(street: SyntheticStreet, index: int) -> dict[str, float]:
    """By object of at least 15 unoccluded pixels: the visible share."""
    view, camera = street.view(index), street.camera
    surfaces = project(camera, view.mesh, view.plane)
    ids = visible(camera, surfaces)[1]
    row = np.concatenate(([0], surfaces.face + 1, surfaces.round + 1 + len(view.mesh.corners)))
    object_ids = np.where(ids < 0, 0, view.object_ids[row][ids])
    shares = {}
    for k, mover in enumerate(view.objects, start=1):
        if not mover.track.startswith("parked"):
            alone = project(camera, only(view.mesh, view.object_ids[1:] == k), view.plane)
            pixels = int((visible(camera, alone)[1] > 0).sum())
            if pixels >= 15:
                shares[mover.track] = float((object_ids == k).sum()) / pixels
    return shares


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_occlusion_hides_movers_and_shows_them_again(seed: int) -> None:
    street = SyntheticStreet("occlusion", seed=seed, frames=120, **SMALL)
    shares: dict[str, list[float]] = {}
    for i in range(0, 120, 4):
        for track, share in visible_shares(street, i).items():
            shares.setdefault(track, []).append(share)
    both = {t for t, s in shares.items() if min(s) < 0.3 and max(s) > 0.7}
    assert len(both) >= 6
    assert any(t.startswith("stepping") for t in both), "people come out from behind vans"
    assert {t.split("-")[0] for t in shares} >= {"stepping", "walker", "oncoming", "crossing"}


def tracks_of(street: SyntheticStreet, frames: range, least: int) -> dict[str, list[bool]]:
    """By object of at least `least` pixels: whether it moves, by frame."""
    found: dict[str, list[bool]] = {}
    for i in frames:
        truth = street.truth(i)
        cloud = points(street, truth)
        for track, box in by_track(truth).items():
            held = inside(box, cloud) & (truth.labels == KINDS[box.kind])
            if held.sum() >= least:
                found.setdefault(track, []).append(bool(truth.moving[held].mean() > 0.5))
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scenes_show_what_their_names_say(seed: int) -> None:
    def seen(scene: str) -> dict[str, list[bool]]:
        street = SyntheticStreet(scene, seed=seed, frames=120, **SMALL)
        return tracks_of(street, range(0, 119, 7), 12)

    lead = seen("lead_car")
    assert {track: set(moves) for track, moves in lead.items()} == {"lead-0": {True}}
    assert len(lead["lead-0"]) == 17, "all the time"
    for scene, kind, least in (("crossing", "crossing", 3), ("oncoming", "oncoming", 4)):
        movers = [t for t, moves in seen(scene).items() if any(moves)]
        assert sum(track.startswith(kind) for track in movers) >= least
    changing = [t for t, moves in seen("start_stop").items() if len(set(moves)) == 2]
    assert {t.split("-")[0] for t in changing} == {"departure", "arrival"}
    for scene in ("parked", "textureless"):
        still = seen(scene)
        assert len(still) >= 5
        assert not any(any(moves) for moves in still.values())
    assert any(any(moves) for moves in seen("still").values())
    assert not seen("empty")
