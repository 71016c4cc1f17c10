# SPDX-License-Identifier: Apache-2.0
"""The height of the camera from two images of a road: exact without any depth network."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from gate_streams import Shot
from ground_scenes import BESIDE, CAMERA, HEIGHT, Float, shot

from depth_recog.method.geometry.se3 import relative
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.scale.agreement import Points, SeenMotion, see_motion
from depth_recog.method.scale.alignment import RoadPlane
from depth_recog.method.scale.height import CameraMount, GroundPlane, network_height
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.scale.road import align_road
from depth_recog.method.tracking.tracks import Correspondences

MOUNT = CameraMount(HEIGHT)


PLACES = range(5)
"""Parts of the road: the texture of one shows the height within 3 % (a standard deviation)."""


def pair(
    pitch: float, roll: float, step: float, name: str = "road", place: int = 0
) -> tuple[Shot, Shot]:
    """Two frames of a camera pitched below the horizon and rolled, degrees, `step` metres apart."""

    def move(i: int) -> tuple[Float, Float]:
        by_pitch = cv2.Rodrigues(np.array((-math.radians(pitch), 0, 0)))[0]
        by_roll = cv2.Rodrigues(np.array((0, 0, math.radians(roll))))[0]
        return np.array((0.0, 0.0, 3 * place + step * i)), np.asarray(by_pitch @ by_roll)

    return shot(name, 0, move), shot(name, 1, move)


def found(
    two: tuple[Shot, Shot],
    start: float = 1.0,
    mount: CameraMount = MOUNT,
    wrong: tuple[float, float] = (0.0, 0.0),
) -> RoadPlane | Refusal:
    """Align; `start` times the true height, and a pose that is wrong in turn and direction."""
    T = relative(two[0].world_from_camera, two[1].world_from_camera)
    length = float(np.linalg.norm(T[:3, 3]))
    covariance = np.diag([np.radians(0.05) ** 2] * 3 + [(0.01 * length) ** 2] * 3)
    T[:3, :3] = cv2.Rodrigues(np.array((math.radians(wrong[0]), 0, 0)))[0] @ T[:3, :3]
    T[:3, 3] = cv2.Rodrigues(np.array((math.radians(wrong[1]), 0, 0)))[0] @ T[:3, 3]
    images = tuple(np.ascontiguousarray(one.image[..., 0]) for one in two)
    pose = PoseEstimate(T, True, covariance=covariance)
    guess = start * HEIGHT / length
    return align_road(images, two[0].labels == 0, CAMERA, pose, mount, guess)


@pytest.mark.parametrize(
    ("pitch", "roll", "step", "start"),
    [(0, 0, 0.4, 1.0), (-8, 2, 0.6, 2.0), (15, -3, 0.3, 0.5), (5, 0, -0.4, 1.0), (0, 0, 1.2, 1.5)],
)
def test_the_height_pitch_and_roll_are_those_of_the_camera(
    pitch: float, roll: float, step: float, start: float
) -> None:
    heights = []
    for place in PLACES:
        plane = found(pair(pitch, roll, step, place=place), start)
        if isinstance(plane, Refusal):
            continue
        heights.append(plane.height * abs(step))
        assert abs(math.log(heights[-1] / HEIGHT)) < 3 * plane.std
        ground = GroundPlane(plane.normal, plane.height)
        assert math.degrees(ground.pitch) == pytest.approx(pitch, abs=1.0)
        assert math.degrees(ground.roll) == pytest.approx(-roll, abs=1.0)
        assert plane.std < 0.06
    assert len(heights) >= len(PLACES) - 1
    assert np.mean(heights) == pytest.approx(HEIGHT, rel=0.04)


def test_a_pose_that_is_a_little_wrong_is_mended() -> None:
    planes = [found(pair(3, 0, 0.4, place=place), wrong=(0.05, 0.7)) for place in PLACES]
    for plane in planes:
        assert isinstance(plane, RoadPlane), plane
        assert abs(math.log(plane.height * 0.4 / HEIGHT)) < 3 * plane.std
    assert np.mean([plane.height for plane in planes]) * 0.4 == pytest.approx(HEIGHT, rel=0.05)


@pytest.mark.parametrize(
    ("name", "step", "why"),
    [
        ("road", 3.0, "too far|alike|too little"),
        ("hidden road", 0.4, "too little ground"),
        ("wall", 0.4, "bends|step|alike|too little|too far"),
        ("rain", 0.4, "alike"),
        ("bare concrete", 0.4, "texture|alike"),
        ("platform", 0.4, "step|bends"),
    ],
)
def test_what_is_no_road_is_refused_with_a_reason(name: str, step: float, why: str) -> None:
    plane = found(pair(0, 0, step, name))
    assert isinstance(plane, Refusal), plane
    assert any(part in plane.why for part in why.split("|")), plane.why


@pytest.mark.parametrize("name", BESIDE)
def test_the_road_is_measured_where_the_robot_drives(name: str) -> None:
    for pitch in (0, 5):
        plane = found(pair(pitch, 0, 0.4, name))
        if isinstance(plane, Refusal):
            assert name == "narrow pavement"
            assert "step" in plane.why
        else:
            assert plane.height * 0.4 == pytest.approx(HEIGHT, rel=0.04)


@pytest.mark.parametrize("pitch", [0, 5, 10])
def test_a_step_in_the_middle_of_the_way_is_refused(pitch: float) -> None:
    plane = found(pair(pitch, 0, 0.4, "kerb"))
    assert isinstance(plane, Refusal)
    assert "step" in plane.why


def test_a_known_pitch_is_used_and_a_motion_away_from_the_ground_is_refused() -> None:
    two = pair(8, 0, 0.4)
    level = CameraMount(HEIGHT, tilt_std=1.5)
    right = CameraMount(
        HEIGHT, (0.0, math.cos(math.radians(8)), math.sin(math.radians(8))), tilt_std=1.5
    )
    refused = found(two, mount=level)
    assert isinstance(refused, Refusal)
    assert "8 degrees to the ground" in refused.why
    sure, unsure = found(two, mount=right), found(two)
    assert isinstance(sure, RoadPlane)
    assert isinstance(unsure, RoadPlane)
    assert sure.std <= unsure.std


def test_a_pose_that_failed_shows_nothing() -> None:
    two = pair(0, 0, 0.4)
    grey = np.ascontiguousarray(two[0].image[..., 0])
    failed = align_road((grey, grey), two[0].labels == 0, CAMERA, PoseEstimate(), MOUNT, 1.0)
    assert isinstance(failed, Refusal)


def flow(two: tuple[Shot, Shot], every: int = 7) -> Points:
    """Exact correspondences."""
    v, u = (axis.ravel() for axis in np.mgrid[4 : CAMERA.height : every, 4 : CAMERA.width : every])
    z = two[0].depth[v, u].astype(np.float64)
    known = np.isfinite(z)
    v, u, z = v[known], u[known], z[known]
    T = relative(two[0].world_from_camera, two[1].world_from_camera)
    x, y = CAMERA.rays(u, v)
    p = np.stack((x * z, y * z, z), 1) @ T[:3, :3].T + T[:3, 3]
    there = np.stack(
        (CAMERA.fx * p[:, 0] / p[:, 2] + CAMERA.cx, CAMERA.fy * p[:, 1] / p[:, 2] + CAMERA.cy), 1
    )
    here = np.stack((u, v), 1).astype(np.float32)
    matches = Correspondences(here, there.astype(np.float32), len(u))
    return Points(matches, two[0].labels[v, u] == 0)


@pytest.mark.parametrize(("unit", "road_factor"), [(1.0, 1.0), (0.3, 1.0), (4.0, 1.5)])
def test_the_unit_of_a_network_on_the_road_and_elsewhere(unit: float, road_factor: float) -> None:
    two = pair(5, 0, 0.4)
    plane = found(two)
    depth = two[0].depth / np.float32(unit)
    depth[two[0].labels == 0] *= np.float32(road_factor)
    T = relative(two[0].world_from_camera, two[1].world_from_camera)
    seen = see_motion(depth, CAMERA, flow(two), T, plane, 0.4)
    assert isinstance(seen, SeenMotion)
    assert seen.gap == pytest.approx(math.log(road_factor), abs=0.05)
    if road_factor == 1:
        assert math.exp(seen.log_length) * unit == pytest.approx(0.4, rel=0.02)
    else:
        assert 0.4 / 1.02 < math.exp(seen.log_length) * unit < 0.4 * 1.02 * road_factor


def test_points_on_the_road_that_contradict_its_plane_make_it_invalid() -> None:
    two = pair(5, 0, 0.4)
    plane = found(two)
    assert isinstance(plane, RoadPlane)
    T = relative(two[0].world_from_camera, two[1].world_from_camera)
    wrong = RoadPlane(plane.normal, 1.5 * plane.height, 0.02, *plane_rest(plane))
    seen = see_motion(two[0].depth, CAMERA, flow(two), T, wrong, 0.4)
    assert isinstance(seen, SeenMotion)
    assert isinstance(seen.road, Refusal)
    assert "contradict" in seen.road.why
    assert math.exp(seen.log_length) == pytest.approx(0.4, rel=0.05), "from the other points"


def plane_rest(plane: RoadPlane) -> tuple[Float, np.ndarray, np.ndarray]:
    return plane.T_second_from_first, plane.rows, plane.columns


def test_the_height_of_the_network_s_road_is_a_guess() -> None:
    one = pair(10, 0, 0.4)[0]
    down = (0.0, math.cos(math.radians(10)), math.sin(math.radians(10)))
    known = network_height(one.depth, one.labels == 0, CAMERA, CameraMount(9.0, down))
    assert known == pytest.approx(HEIGHT, rel=0.01)
    nothing = np.zeros_like(one.labels, np.bool_)
    assert network_height(one.depth, nothing, CAMERA, MOUNT) is None
