# SPDX-License-Identifier: Apache-2.0
"""Smaller parts of training: direction of motion, initial networks, learning rate, unit."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from depth_recog.method.geometry.se3_tensors import from_vector, inverse
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.files import load_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.training.config import make_config
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.optimiser import make_optimiser, set_rate, update_average
from depth_recog.training.train import unit_of


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


def test_with_a_large_epsilon_small_gradients_move_little() -> None:
    moved = []
    for epsilon in (1e-8, 1e-3):
        model = torch.nn.Linear(2, 1, bias=False)
        before = model.weight.detach().clone()
        optimiser = make_optimiser(model, [], 1e-3, 0.4, epsilon)
        model.weight.grad = torch.tensor([[1e-2, 1e-5]])
        optimiser.step()
        moved.append((model.weight - before).abs().flatten().tolist())
    (large, small), (still_large, nearly_still) = moved
    assert small == pytest.approx(large, rel=0.01), "Adam divides by the gradient's size"
    assert still_large == pytest.approx(large, rel=0.2)
    assert nearly_still < 0.05 * still_large


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
