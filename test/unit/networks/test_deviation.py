# SPDX-License-Identifier: Apache-2.0
"""The head for the standard deviation: the same in every backend, and the depth stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from deviation_weights import with_head, without_head
from safetensors.numpy import load_file, save_file

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.settings import Settings, Wanted
from depth_recog.networks import factory
from depth_recog.networks.architecture import check_architecture
from depth_recog.networks.backends import checked, choice
from depth_recog.networks.factory import Assembly, NetworkOptions
from depth_recog.networks.graphs import reference
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.designs import DEVIATION_RANGE
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import header_of

BACKENDS = [name for name in choice.BACKENDS[1:] if choice.installed(name)]
SIZE = (192, 64)
CAMERA = Camera(*SIZE, 115.0, 115.0, 96.0, 32.0)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_head(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    image = SyntheticStreet(seed=0)[0].image
    return np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def made(backend: str, depth: str, precision: str = "float32") -> Assembly:
    options = NetworkOptions(depth, device="cpu", precision=precision, backend=backend)
    return factory.assemble(options, Settings(width=SIZE[0]))


@pytest.fixture(scope="module")
def expected(weights: Path, picture: np.ndarray) -> np.ndarray:
    """(2, h, w) by torch."""
    return made("torch", str(weights)).depth_network(picture, CAMERA.fy)()


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_and_deviation_of_every_backend(
    backend: str, weights: Path, picture: np.ndarray, expected: np.ndarray
) -> None:
    assembly = made(backend, str(weights))
    assert assembly.depth.deviation
    got = assembly.recognizer.step("0", 0, picture, CAMERA, Wanted.DEPTH).frame
    assert got.deviation is not None
    assert got.deviation.dtype == np.float32
    assert got.deviation.shape == got.depth.shape == SIZE[::-1]
    assert got.deviation.std() > 0.02, "the test cannot fail where the deviation is flat"
    np.testing.assert_allclose(got.depth, expected[0], rtol=2e-3)
    np.testing.assert_allclose(got.deviation, expected[1], rtol=2e-2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_head_does_not_change_the_depth(
    backend: str, weights: Path, picture: np.ndarray
) -> None:
    plain = made(backend, str(without_head(weights.parent)))
    assert not plain.depth.deviation
    frame = plain.recognizer.step("0", 0, picture, CAMERA, Wanted.DEPTH).frame
    assert frame.deviation is None
    both = made(backend, str(weights)).depth_network(picture, CAMERA.fy)()
    np.testing.assert_allclose(both[0], frame.depth, rtol=1e-6)


@pytest.mark.skipif("openvino" not in BACKENDS, reason="needs openvino")
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_bfloat16(backend: str, weights: Path, picture: np.ndarray, expected: np.ndarray) -> None:
    got = made(backend, str(weights), "bfloat16").depth_network(picture, CAMERA.fy)()
    for ours, theirs, most in zip(got, expected, (0.01, 0.02), strict=True):
        assert reference.relative_difference(ours, theirs) < most


def test_a_graph_equals_torch_at_the_size_of_the_training(weights: Path) -> None:
    header = header_of(str(weights), "depth")
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    graph = checked.networks.describe(
        "depth", load_file(weights), (96, 64), (96, 64), header.architecture
    )
    values = reference.evaluate(graph, {"image": image[None], "focal": np.float32([200])})
    network, _ = load_network(str(weights), "depth")
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = network(tensor, torch.tensor([200.0])).numpy()
    assert wanted.shape == (1, 2, 64, 96)
    np.testing.assert_allclose(values["depth"], wanted, rtol=1e-3)


def test_a_runtime_whose_deviation_alone_is_wrong_is_refused(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(BACKENDS) < 2:
        pytest.skip("needs openvino or onnxruntime")
    evaluate = reference.evaluate

    def wrong(*given: Any) -> Any:
        values = evaluate(*given)
        values["depth"][:, 1:] *= 1.1
        return values

    monkeypatch.setattr(reference, "evaluate", wrong)
    monkeypatch.setattr(checked.graph_cache, "read", lambda key: None)
    with pytest.raises(WeightsError, match="differs from NumPy"):
        made(next(b for b in BACKENDS if b != "torch"), str(weights))


def test_the_deviation_keeps_within_its_range() -> None:
    network = DepthNetwork("edgetpu", (96, 64, 48, 24), deviation=True).eval()
    image, focal = torch.rand(1, 3, 64, 64), torch.tensor([100.0])
    with torch.inference_mode():
        for bias, limit in ((-50.0, DEVIATION_RANGE[0]), (50.0, DEVIATION_RANGE[1])):
            network.deviation.last.bias.fill_(bias)
            std = network(image, focal)[:, 1]
            torch.testing.assert_close(std, torch.full_like(std, limit))


def test_no_gradient_of_the_deviation_reaches_the_depth() -> None:
    network = DepthNetwork("edgetpu", (96, 64, 48, 24), deviation=True).eval()
    image, focal = torch.rand(1, 3, 64, 64), torch.tensor([100.0])
    network(image, focal)[:, 1].sum().backward()
    network.with_log_deviation(image, focal)[1].sum().backward()
    given = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    touched = {name.split(".")[0] for name in given}
    assert touched == {"deviation"}


def test_a_file_says_whether_the_head_is_there(weights: Path, tmp_path: Path) -> None:
    """A head without its entry, an entry without its head, and entries that make no network."""
    tensors, header = load_file(weights), header_of(str(weights), "depth")
    metadata = {
        "format": "depth_recog/1",
        "network": "depth",
        "size": "[416, 128]",
        "unit": "metres",
        "architecture": json.dumps({**header.architecture, "deviation": False}),
    }
    path = tmp_path / "w.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match=r"tensor deviation\.\S+ belongs to another network"):
        load_network(str(path), "depth")
    metadata["architecture"] = json.dumps(header.architecture)
    rest = {name: v for name, v in tensors.items() if name != "deviation.last.weight"}
    save_file(rest, path, metadata)
    for backend in BACKENDS:
        with pytest.raises(WeightsError, match=r"deviation\.last\.weight"):
            made(backend, str(path))
    with pytest.raises(ValueError, match="deviation is 1"):
        check_architecture("depth", {"deviation": 1})
    with pytest.raises(ValueError, match="two widths"):
        check_architecture("depth", {"deviation": True, "widths": [24]})


def test_export_has_two_outputs(weights: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from depth_recog.networks.onnx.export import export_onnx

    out = tmp_path / "depth.onnx"
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (parity,) = export_onnx(header_of(str(weights), "depth"), out, (64, 64), [image])
    assert parity.relative < 1e-3
    session = runtime.InferenceSession(str(out))
    assert [one.name for one in session.get_outputs()] == ["depth", "deviation"]
    given = {"image": image.transpose(2, 0, 1)[None] / np.float32(255), "focal": np.float32([90])}
    depth, deviation = session.run(None, given)
    network, _ = load_network(str(weights), "depth")
    with torch.inference_mode():
        wanted = network(*(torch.from_numpy(v) for v in given.values())).numpy()
    np.testing.assert_allclose(depth, wanted[:, :1], rtol=1e-3)
    np.testing.assert_allclose(deviation, wanted[:, 1:], rtol=1e-3)
