# SPDX-License-Identifier: Apache-2.0
"""The synthetic street: exact against a slow reference, and deterministic."""

import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from street_files import assert_recording, assert_same_truth, unproject

from depth_recog.datasets.street import SCENES, SyntheticStreet, parse_spec
from depth_recog.datasets.street.street import Mount
from depth_recog.datasets.street.view import StreetView
from depth_recog.errors import SourceError

Float = NDArray[np.float64]

ROAD, SKY, PERSON, CAR = 0, 10, 11, 13
SMALL = {"width": 208, "height": 64}


def ray(street: SyntheticStreet, x: float, y: float) -> Float:
    camera = street.camera
    return np.array([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1.0])


def cast(view: StreetView, direction: Float) -> tuple[float, int]:
    """Slow reference: depth along one ray and the index into `view.part`."""
    best, part = np.inf, -1
    mesh = view.mesh
    drop = view.world_from_camera[1, :3] @ direction
    if drop > 0:
        z = -view.world_from_camera[1, 3] / drop
        if z < 1000.0:
            best, part = z, 0
    for f, (corners, sides) in enumerate(zip(mesh.corners, mesh.sides, strict=True)):
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[1])
        slant = normal @ direction
        if slant >= 0:
            continue
        z = (normal @ corners[0]) / slant
        point = z * direction
        if 0 < z < best and all(
            np.cross(corners[(k + 1) % sides] - corners[k], point - corners[k]) @ normal >= 0
            for k in range(sides)
        ):
            best, part = z, 1 + f
    for e, (centre, axes) in enumerate(zip(mesh.centre, mesh.axes, strict=True)):
        u, v = axes @ direction, axes @ centre
        a, b, c = u @ u, u @ v, v @ v - 1.0
        if b * b >= a * c:
            z = (b - np.sqrt(b * b - a * c)) / a
            if 0 < z < best:
                best, part = z, 1 + len(mesh.corners) + e
    return float(best), part


def moved(transform: Float, points: Float) -> Float:
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def projected(street: SyntheticStreet, points: Float) -> Float:
    camera = street.camera
    x = camera.fx * points[..., 0] / points[..., 2] + camera.cx
    y = camera.fy * points[..., 1] / points[..., 2] + camera.cy
    return np.stack((x, y), axis=-1)


@pytest.mark.parametrize(
    ("scene", "index", "mount"),
    [
        ("street", 15, Mount()),
        ("crossing", 40, Mount()),
        ("occlusion", 32, Mount(0.4, 12.0, 110.0)),
        ("occlusion", 36, Mount(2.5, -8.0, 50.0)),
    ],
)
def test_depth_labels_and_flow_equal_a_ray_by_ray_reference(
    scene: str, index: int, mount: Mount
) -> None:
    street = SyntheticStreet(scene, seed=3, frames=120, mount=mount, **SMALL)
    view, truth = street.view(index), street.truth(index)
    following = street.truth(index + 1).world_from_camera
    rng = np.random.default_rng(0)
    pixels = [(int(rng.integers(208)), int(rng.integers(64))) for _ in range(10)]
    # What moves is rare among random pixels.
    on_movers = np.argwhere(truth.moving)
    pixels += [(int(x), int(y)) for y, x in rng.permutation(on_movers)[:6]]
    labels = np.concatenate(([255], view.mesh.label, view.mesh.round_label))
    for x, y in pixels:
        z, part = cast(view, ray(street, x, y))
        assert truth.depth[y, x] == pytest.approx(z, rel=1e-6)
        if part < 0:
            assert truth.labels[y, x] == SKY
            continue
        if part > 0:
            assert truth.labels[y, x] == labels[part]
        body = view.part[part]
        assert truth.moving[y, x] == view.moving[body]
        world = moved(view.world_from_camera, z * ray(street, x, y))
        later = moved(np.linalg.inv(following), moved(view.motions[body], world))
        assert truth.flow[y, x] == pytest.approx(projected(street, later) - (x, y), abs=1e-3)


def test_flow_of_static_pixels_is_that_of_depth_and_poses() -> None:
    street = SyntheticStreet("street", seed=1, frames=40)
    truth, following = street.truth(20), street.truth(21)
    still = ~truth.moving & np.isfinite(truth.depth)
    points = moved(truth.world_from_camera, unproject(truth.depth, street.camera)[still])
    later = moved(np.linalg.inv(following.world_from_camera), points)
    y, x = np.nonzero(still)
    ahead = later[:, 2] > 0.1
    expected = projected(street, later) - np.stack((x, y), -1)
    assert np.abs(truth.flow[still] - expected)[ahead].max() < 1e-3
    assert np.isfinite(truth.flow[~np.isfinite(truth.depth)]).all(), "the sky's flow is rotation"


def test_the_next_frame_sees_the_same_static_points() -> None:
    street = SyntheticStreet("parked", seed=2, frames=40)
    truth, following = street.truth(10), street.truth(11)
    step = np.linalg.inv(following.world_from_camera) @ truth.world_from_camera
    near = np.isfinite(truth.depth)
    later = moved(step, unproject(truth.depth, street.camera)[near])
    target = np.rint(np.argwhere(near)[:, ::-1] + truth.flow[near]).astype(int)
    inside = (target >= 0).all(1) & (target < (416, 128)).all(1)
    seen = following.depth[target[inside, 1], target[inside, 0]]
    ratio = seen / later[inside, 2]
    assert np.mean(np.abs(ratio - 1) < 0.06) > 0.9
    # Nearer objects may occlude a point; a point that is farther than expected must be rare.
    assert np.mean(ratio > 1.1) < 0.03


def test_the_camera_is_mounted_as_asked_for() -> None:
    street = parse_spec("still?seed=1&mount=0.5&pitch=10&fov=90&width=208&height=128")
    pose = street.truth(0).world_from_camera
    assert pose[1, 3] == pytest.approx(-0.5)
    assert np.degrees(np.arcsin(pose[1, 2])) == pytest.approx(10)  # y is down
    left, right = ray(street, -0.5, 0), ray(street, 207.5, 0)
    width = np.degrees(np.arctan(right[0]) - np.arctan(left[0]))
    assert width == pytest.approx(90)
    # 10 degrees below the horizon of an optical axis 0.5 m above the road.
    x, y = round(street.camera.cx), round(street.camera.cy)
    drop = pose[1, :3] @ ray(street, x, y)
    assert street.truth(0).depth[y, x] == pytest.approx(0.5 / drop, rel=1e-5)


@pytest.mark.parametrize("pitch", [-30, 45])
def test_a_camera_that_sees_only_sky_or_only_road(pitch: int) -> None:
    spec = f"empty?seed=1&mount=5&pitch={pitch}&fov=20&width=64&height=32"
    assert parse_spec(spec)[0].image.shape == (32, 64, 3)


def test_road_lies_on_the_plane_below_the_camera() -> None:
    street = SyntheticStreet("street", seed=4, frames=30)
    truth = street.truth(12)
    points = unproject(truth.depth, street.camera)[truth.labels == ROAD]
    assert truth.world_from_camera[1, 3] == -1.65
    np.testing.assert_allclose(moved(truth.world_from_camera, points)[:, 1], 0, atol=1.65e-6)


@pytest.mark.parametrize("scene", ["street", "parked", "empty"])
def test_colours_follow_the_flow(scene: str) -> None:
    street = SyntheticStreet(scene, seed=5, frames=40)
    image = street[20].image.astype(np.float32)
    truth, following = street.truth(20), street.truth(21)
    after = street[21].image.astype(np.float32)
    y, x = np.mgrid[:128, :416].astype(np.float32)
    map_x, map_y = x + truth.flow[..., 0], y + truth.flow[..., 1]
    warped = cv2.remap(after, map_x, map_y, cv2.INTER_LINEAR)
    step = np.linalg.inv(following.world_from_camera) @ truth.world_from_camera
    finite = np.where(np.isinf(truth.depth), 1.0, truth.depth)
    there = moved(step, unproject(finite, street.camera))[..., 2]
    near = np.where(np.isinf(following.depth), 1e4, following.depth).astype(np.float32)
    seen = cv2.remap(cv2.erode(near, np.ones((3, 3))), map_x, map_y, cv2.INTER_NEAREST)
    use = ~truth.moving & np.isfinite(truth.depth) & (np.abs(seen / there - 1) < 0.1)
    use &= (map_x > 0) & (map_x < 415) & (map_y > 0) & (map_y < 127)
    assert use.mean() > 0.3
    warped_error = np.abs(warped - image)[use].mean()
    still_error = np.abs(after - image)[use].mean()
    assert warped_error < still_error / 3
    assert warped_error < 4.0


@pytest.mark.parametrize(("scene", "seed"), [("street", 9), ("occlusion", 5)])
def test_frames_do_not_depend_on_the_order_of_access(scene: str, seed: int) -> None:
    first, second = (SyntheticStreet(scene, seed, frames=5000, **SMALL) for _ in range(2))
    forward = [(first[i].image, first.truth(i)) for i in (3, 4, 60)]
    for i in (4321, 4):  # fills the atlas's slots in another order
        second[i], second.truth(i)
    backward = [(second[i].image, second.truth(i)) for i in (60, 4, 3)][::-1]
    for (image, truth), (same_image, same) in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(truth.flow, same.flow)
        assert_same_truth(truth, same, 0.0)
    other = SyntheticStreet(scene, seed + 1, frames=5, **SMALL)
    assert np.abs(other[3].image.astype(int) - forward[0][0]).mean() > 5


def test_a_recording() -> None:
    street = SyntheticStreet("empty", frames=4, rate_hz=30.0, width=640, height=192)
    stamps = [0, 33_333_333, 66_666_667, 100_000_000]
    assert_recording(street, "synthetic", "empty-0", 30.0, stamps)
    frames = list(street)
    assert [f.name for f in frames] == [f"{i:010d}" for i in range(4)]
    assert frames[0].image.shape == (192, 640, 3)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].camera.size == (640, 192)
    assert frames[0].camera.fx == pytest.approx(241.7 * 640 / 416)
    np.testing.assert_array_equal(next(iter(street)).image, frames[0].image)
    assert np.isnan(street.truth(3).flow).all()
    np.testing.assert_array_equal(street[-1].image, frames[3].image)


@pytest.mark.parametrize("scene", SCENES)
def test_scenes_hold_what_they_say(scene: str) -> None:
    street = SyntheticStreet(scene, seed=1, frames=300, **SMALL)
    truths = [street.truth(i) for i in range(0, 290, 16)]
    moving = sum(int(t.moving.sum()) for t in truths)
    cars = sum(int((t.labels == CAR).sum()) for t in truths)
    people = sum(int((t.labels == PERSON).sum()) for t in truths)
    parked = sum(int(((t.labels == CAR) & ~t.moving).sum()) for t in truths)
    for truth in truths:
        assert np.isin(truth.labels[truth.moving], (CAR, PERSON)).all()
        assert ((truth.labels == SKY) == np.isinf(truth.depth)).all()
    assert (moving > 0) == (scene not in ("parked", "textureless", "empty"))
    assert (cars > 0) == (scene != "empty")
    assert (people > 0) == (scene in ("street", "crossing", "occlusion"))
    assert (parked > 0) == (scene not in ("empty", "lead_car", "crossing", "still"))


def test_flow_of_the_lead_car_is_not_that_of_static_points() -> None:
    street = SyntheticStreet("lead_car", seed=2, frames=60)
    truth, following = street.truth(30), street.truth(31)
    assert truth.moving.sum() > 200
    points = moved(truth.world_from_camera, unproject(truth.depth, street.camera)[truth.moving])
    as_if = projected(street, moved(np.linalg.inv(following.world_from_camera), points))
    flow = truth.flow[truth.moving] + np.argwhere(truth.moving)[:, ::-1] - as_if
    assert np.median(np.linalg.norm(flow, axis=1)) > 0.5
    # It keeps its distance: straight ahead, its own flow is almost the wobble alone.
    gaps = [np.median(t.depth[t.moving]) for t in (truth, following)]
    assert abs(gaps[1] - gaps[0]) < 0.3


def test_a_car_is_moving_only_while_it_has_a_speed() -> None:
    street = SyntheticStreet("start_stop", seed=0, frames=220, **SMALL)
    changes = set()
    for i in range(0, 200, 4):
        view = street.view(i)
        displaced = np.abs(view.motions - np.eye(4)).max(axis=(1, 2)) > 1e-9
        # A frame before a start the body is at rest now and has moved by the next frame.
        assert not (view.moving & ~displaced)[1:].any()
        changes.update(zip(view.moving[1:].tolist(), displaced[1:].tolist(), strict=True))
    assert {(True, True), (False, False)} <= changes


def test_still_camera_and_flat_ground_and_gain() -> None:
    still = SyntheticStreet("still", frames=50, **SMALL)
    poses = [still.truth(i).world_from_camera for i in (0, 40)]
    np.testing.assert_array_equal(*poses)
    truth = still.truth(7)
    assert np.abs(truth.flow[~truth.moving]).max() < 1e-3

    flat = SyntheticStreet("textureless", seed=1, frames=9, **SMALL)
    truth = flat.truth(5)
    near = (truth.labels == ROAD) & (truth.depth < 8)
    textured = SyntheticStreet("parked", seed=1, frames=9, **SMALL)
    assert flat[5].image[near].std() < 0.35 * textured[5].image[near].std()

    bright = SyntheticStreet("exposure", seed=1, frames=9, **SMALL)
    levels = [float(np.median(bright[i].image)) for i in range(8)]
    assert max(levels) / min(levels) > 1.15


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("motorway", "motorway.*street, lead_car"),
        ("street?colour=3", "colour.*seed, frames, width, height, rate"),
        ("street?frames=0", "frames=0.*1 to"),
        ("street?frames=ten", "frames=ten.*whole number"),
        ("street?seed=-1", "seed=-1"),
        ("street?width=8", "width=8.*32 to"),
        ("street?rate=nan", "rate=nan"),
        ("street?rate=0", "rate=0.0"),
        ("street?seed=1&seed=2", "twice"),
        ("street?seed", "seed="),
        ("street?mount=0", "mount=0.0.*0.2 to"),
        ("street?pitch=90", "pitch=90"),
        ("street?fov=180", "fov=180"),
    ],
)
def test_bad_specs_are_refused_by_name(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_spec(spec)


def test_specs() -> None:
    street = parse_spec("crossing?seed=3&frames=60&width=640&height=192&rate=29.97")
    assert (street.name, len(street), street.camera.size) == ("crossing-3", 60, (640, 192))
    assert street.rate_hz == 29.97
    assert (parse_spec("").name, len(parse_spec("street"))) == ("street-0", 120)


def test_the_street_is_endless_in_flat_memory() -> None:
    street = SyntheticStreet("street", frames=10_000, width=96, height=32)
    assert street[9999].image.std() > 20
    assert np.isnan(street.truth(9999).flow).all()
    tracemalloc.start()
    sizes = []
    for start in (2000, 7000):
        for i in range(start, start + 400, 50):  # twice the reach: nothing is left of the past
            street.truth(i)
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 2_000_000
