# SPDX-License-Identifier: Apache-2.0
"""The scale from the camera's height: exact on exact depth, refused on what is no plane."""

import math

import numpy as np
import pytest
from ground_scenes import (
    CAMERA,
    HEIGHT,
    hill,
    kerb,
    lorry,
    mirror,
    noise,
    plane_depth,
    room,
    tilted,
    unknown,
    wall,
)

from depth_recog.datasets.street import parse_spec
from depth_recog.method.scale.height import CameraMount, GroundPlane, find_ground, height_of
from depth_recog.method.scale.measurement import Refusal

ROAD = 0


def found(depth: np.ndarray, mount: CameraMount) -> GroundPlane | Refusal:
    return find_ground(depth, np.isfinite(depth) & (depth < 60), CAMERA, mount)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-10, 3), (15, -5)])
@pytest.mark.parametrize("height", [0.4, 1.65, 2.5])
@pytest.mark.parametrize("unit", [0.3, 1.0, 4.0])
def test_an_exact_plane_gives_height_pitch_and_roll(
    pitch: float, roll: float, height: float, unit: float
) -> None:
    ground = found(plane_depth(tilted(pitch, roll), height) / np.float32(unit), CameraMount(height))
    assert isinstance(ground, GroundPlane)
    assert math.degrees(ground.pitch) == pytest.approx(pitch, abs=0.05)
    assert math.degrees(ground.roll) == pytest.approx(roll, abs=0.05)
    scale = height_of(ground, CameraMount(height)).log_scale
    assert math.exp(scale) == pytest.approx(unit, rel=2e-3)


def test_a_height_that_is_wrong_by_a_tenth_gives_a_scale_that_is_wrong_by_a_tenth() -> None:
    ground = found(plane_depth(tilted(2), 1.5), CameraMount(1.65))
    assert isinstance(ground, GroundPlane)
    assert math.exp(height_of(ground, CameraMount(1.65)).log_scale) == pytest.approx(1.1, rel=2e-3)


@pytest.mark.parametrize("mount", [0.4, 1.65, 2.5])
@pytest.mark.parametrize(("pitch", "fov"), [(-10, 50), (0, 81), (15, 110)])
def test_the_street(mount: float, pitch: float, fov: float) -> None:
    spec = f"street?seed=5&width=320&height=192&mount={mount}&pitch={pitch}&fov={fov}"
    street = parse_spec(spec)
    truth = street.truth(12)
    ground = find_ground(truth.depth, truth.labels == ROAD, street.camera, CameraMount(mount))
    if isinstance(ground, Refusal):
        assert pitch == -10  # of a low road camera that looks up, little of the road is seen
        return
    assert height_of(ground, CameraMount(mount)).log_scale == pytest.approx(0, abs=0.01)
    assert math.degrees(ground.pitch) == pytest.approx(pitch, abs=1.0)


def test_noise_and_outliers_of_a_network_change_little() -> None:
    rng = np.random.default_rng(3)
    depth = plane_depth(tilted(3), 1.65)
    depth = depth * np.exp(rng.normal(0, 0.04, depth.shape)).astype(np.float32)
    depth[100:150, 40:110] = 4.0  # a fifth of the ground is an object that the masks missed
    ground = found(depth, CameraMount(1.65))
    assert isinstance(ground, GroundPlane)
    assert height_of(ground, CameraMount(1.65)).log_scale == pytest.approx(0, abs=0.02)


LEVEL = CameraMount(HEIGHT)


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (hill(), "bends"),
        (lorry(), "tilted|range|no plane"),
        (mirror(), "bends|plane|flat"),
        (noise(), "flat|plane|tilted"),
        (wall(), "tilted|range|plane"),
        (unknown(), "too little ground"),
        (kerb(), "a step"),
        (room(), "too little ground|plane|bends"),
    ],
    ids=["hill", "lorry", "mirror", "noise", "wall", "nan", "kerb", "room"],
)
def test_what_is_no_ground_is_refused(depth: np.ndarray, why: str) -> None:
    ground = find_ground(depth, np.ones_like(depth, np.bool_), CAMERA, LEVEL)
    assert isinstance(ground, Refusal), ground
    assert any(part in ground.why for part in why.split("|")), ground.why


def test_a_plane_that_contradicts_a_known_pitch_is_refused() -> None:
    depth = plane_depth(tilted(8), 1.65)
    known = CameraMount(1.65, down=(0.0, 1.0, 0.0), tilt_std=1.5)
    assert isinstance(found(depth, known), Refusal)
    right = CameraMount(1.65, down=tuple(tilted(8)), tilt_std=1.5)
    assert isinstance(found(depth, right), GroundPlane)


def test_a_strip_or_a_patch_of_ground_is_too_little() -> None:
    depth = plane_depth(tilted(0), 1.65)
    strip, patch = np.zeros_like(depth, np.bool_), np.zeros_like(depth, np.bool_)
    strip[100:, 150:158] = True
    patch[165:190, 100:220] = True
    for ground in (strip, patch):
        assert isinstance(find_ground(depth, ground, CAMERA, LEVEL), Refusal)
