# SPDX-License-Identifier: Apache-2.0
"""Smaller parts of training: direction of motion, road height, learning rate, unit."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import from_vector, inverse
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import load_network
from depth_recog.training.config import make_config
from depth_recog.training.depth.contact import ROAD
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.depth.task import log_spread, road_height
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.optimiser import make_optimiser, set_rate, update_average
from depth_recog.training.train import unit_of

CAMERA = Camera(160, 96, 90.0, 92.0, 80.2, 40.1)


def test_motions_lead_from_the_frame_though_pairs_are_in_the_order_of_time() -> None:
    torch.manual_seed(0)
    pose = PoseNetwork().eval()
    torch.nn.init.normal_(pose.head[-1].bias, std=0.3)
    frames = torch.rand(2, 3, 3, 64, 64)
    model = DepthModel(DepthNetwork().eval(), pose)
    with torch.inference_mode():
        predicted = model(frames[:, 0], torch.full((2,), 60.0), frames)
        this, before, after = frames.unbind(1)
        to_this, to_after = from_vector(pose(before, this)), from_vector(pose(this, after))
    torch.testing.assert_close(predicted.motions[:, 0], inverse(to_this), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(predicted.motions[:, 1], to_after, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(predicted.motions[:, 0], to_this, atol=1e-3)


def test_unused_outputs_and_batch_statistics_are_not_trained() -> None:
    initial = initial_network("", "depth")
    model = DepthModel(initial.network, None)
    assert initial.metric
    assert not any(p.requires_grad for p in model.depth.heads[1].parameters())
    assert not any(m.training for m in model.modules() if "BatchNorm" in type(m).__name__)
    optimiser = make_optimiser(model, model.encoder_parameters(), 1e-3, 0.4)
    trained = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert len(trained) == len(set(trained))
    assert set(trained) == {id(p) for p in model.parameters() if p.requires_grad}


def test_a_depth_network_can_begin_with_the_encoder_of_a_segmentation_network() -> None:
    initial = initial_network("masks-street", "depth")
    masks, _ = load_network("masks-street", "masks")
    found, expected = initial.network.encoder.state_dict(), masks.encoder.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not initial.metric
    again = DepthNetwork(**initial.architecture)
    again.load_state_dict(initial.network.state_dict())
    with torch.inference_mode():
        depth = again.eval()(torch.rand(1, 3, 64, 128), torch.tensor([244.0]))
    assert depth.shape == (1, 1, 64, 128)
    assert 5 < depth.min() < depth.median() < depth.max() < 45


def road(height: float, pitch: float, roll: float) -> np.ndarray:
    """Depth of a plane `height` below the camera, which is pitched and rolled; radians."""
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = np.stack(((u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)))
    normal = np.array([np.sin(roll), np.cos(roll) * np.cos(pitch), np.sin(pitch)])
    normal /= np.linalg.norm(normal)
    along = np.tensordot(normal, rays, 1)
    return np.where(along > 0.01, height / np.maximum(along, 0.01), 1e3).astype(np.float32)


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (0.05, 0.0), (-0.04, 0.06)])
def test_road_height_is_the_distance_from_its_plane(pitch: float, roll: float) -> None:
    labels = np.full((96, 160), ROAD, np.uint8)
    depth = road(1.65, pitch, roll)
    assert road_height(depth, labels, CAMERA) == pytest.approx(1.65, rel=2e-3)
    assert road_height(2 * depth, labels, CAMERA) == pytest.approx(3.3, rel=2e-3)
    rng = np.random.default_rng(0)
    noisy = depth * np.exp(0.05 * rng.normal(size=depth.shape)).astype(np.float32)
    noisy[80:, 20:60] *= 0.8  # the bonnet, or a car whose label is wrong
    assert road_height(noisy, labels, CAMERA) == pytest.approx(1.65, rel=0.03)


def test_there_is_no_road_height_without_a_road_below() -> None:
    depth = road(1.65, 0, 0)
    assert road_height(depth, np.zeros((96, 160), np.uint8) + 2, CAMERA) is None
    labels = np.full((96, 160), ROAD, np.uint8)
    labels[:-12] = 2
    assert road_height(depth, labels, Camera(160, 96, 90.0, 92.0, 80.2, 2000.0)) is None
    wall = np.full((96, 160), 8.0, np.float32)
    assert road_height(wall, np.full((96, 160), ROAD, np.uint8), CAMERA) is None


def test_the_spread_is_that_of_logarithms_and_robust() -> None:
    assert np.isnan(log_spread([1.0, 2.0]))
    assert log_spread([1.6] * 9 + [5.0]) == 0
    heights = list(1.65 * np.exp(0.05 * np.random.default_rng(0).normal(size=4000)))
    assert log_spread(heights) == pytest.approx(0.05, rel=0.1)


def test_the_rate_rises_then_falls_and_the_encoder_has_its_share() -> None:
    model = torch.nn.Linear(1, 1)
    optimiser = make_optimiser(model, [model.weight], 1e-3, 0.4)
    rates = [set_rate(optimiser, 1e-3, step, 200) for step in range(200)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(1e-3)
    assert 5 <= top <= 15
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert rates[-1] < 2e-5
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.4 * rates[-1])


def test_the_average_moves_by_its_share() -> None:
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    before = average.weight.item()
    update_average(average, network, 0.9)
    expected = 0.9 * before + 0.1 * network.weight.item()
    assert average.weight.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("motion", "posed", "dense", "scale", "metric", "unit", "why"),
    [
        ("auto", True, False, 1, False, "metres", "recorded motion"),
        ("network", True, False, 1, False, "relative", "no metric scale"),
        ("network", True, True, 1, False, "metres", "exact depth"),
        ("auto", False, False, 1, True, "metres", "kept, not measured"),
        ("auto", False, False, 0, True, "relative", "no metric scale"),
        ("auto", False, False, 1, False, "relative", "no metric scale"),
    ],
)
def test_the_unit_is_metres_only_where_something_determines_the_scale(
    motion: str, posed: bool, dense: bool, scale: float, metric: bool, unit: str, why: str
) -> None:
    config = make_config({"motion": motion, "loss": {"scale": scale}}, "test")
    frames = SimpleNamespace(posed=posed, dense=dense)
    data = SimpleNamespace(recordings=[SimpleNamespace(frames=frames)])
    found = unit_of(config, data, SimpleNamespace(metric=metric, name="start"))
    assert found.unit == unit
    assert why in found.reason
