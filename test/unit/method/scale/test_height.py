# SPDX-License-Identifier: Apache-2.0
"""The scale from the camera's height: exact on exact depth, refused on what is no plane."""

import math

import numpy as np
import pytest

from depth_recog.datasets.street import parse_spec
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.scale.height import CameraMount, GroundPlane, find_ground, height_of
from depth_recog.method.scale.measurement import Refusal

CAMERA = Camera(320, 192, 200.0, 200.0, 159.5, 95.5)
ROAD = 0


def plane_depth(normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth of the plane normal . p = distance; inf above its horizon."""
    v, u = np.mgrid[:192, :320]
    x, y = CAMERA.rays(u.ravel(), v.ravel())
    towards = (x * normal[0] + y * normal[1] + normal[2]).reshape(192, 320)
    with np.errstate(divide="ignore"):
        return np.where(towards > 1e-3, distance / towards, np.inf).astype(np.float32)


def tilted(pitch: float, roll: float = 0.0) -> np.ndarray:
    """The direction to the ground of a camera pitched below the horizon and rolled, degrees."""
    p, r = math.radians(pitch), math.radians(roll)
    return np.array([-math.cos(p) * math.sin(r), math.cos(p) * math.cos(r), math.sin(p)])


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


LEVEL = CameraMount(1.65)


def hill() -> np.ndarray:
    """The road rises by a tenth from 8 m on."""
    flat, rising = plane_depth(tilted(0), 1.65), plane_depth(tilted(0) + [0, 0, 0.1], 2.45)
    return np.where(flat < 8, flat, np.minimum(flat, rising))


def lorry() -> np.ndarray:
    """A flat side, 5 m away, that the masks call road."""
    return plane_depth(np.array([0.1, 0.0, 1.0]) / math.hypot(0.1, 1), 5.0)


def mirror() -> np.ndarray:
    """A wet road whose depth is that of the mirrored houses: far everywhere beyond a few metres."""
    flat = plane_depth(tilted(0), 1.65)
    return np.where(flat > 5, 2.5 * flat, flat)


def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.exp(rng.uniform(0.5, 3, (192, 320))).astype(np.float32)


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (hill(), "bends"),
        (lorry(), "tilted|range|no plane"),
        (mirror(), "bends|plane|flat"),
        (noise(), "flat|plane|tilted"),
        (np.full((192, 320), 3.0, np.float32), "tilted|range|plane"),
        (np.full((192, 320), np.nan, np.float32), "too little ground"),
    ],
    ids=["hill", "lorry", "mirror", "noise", "wall", "nan"],
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
