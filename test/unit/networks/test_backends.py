# SPDX-License-Identifier: Apache-2.0
"""Every backend keeps one contract: outputs, sizes, errors, replacement; and its graphs' cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import ConfigurationError, DeviceError, WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.settings import Settings
from depth_recog.networks import factory
from depth_recog.networks.backends import checked, choice, graph_cache, graph_models, in_openvino
from depth_recog.networks.factory import Assembly, NetworkOptions
from depth_recog.networks.graphs import networks, reference
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.files import load_network, save_network
from depth_recog.networks.weights import header_of, resolve

BACKENDS = [name for name in choice.BACKENDS[1:] if choice.installed(name)]
GRAPHS = [name for name in BACKENDS if name != "torch"]
SIZES = ((192, 64), (128, 96))
"""The first is that of `SETTINGS`; at the size of the training, commands and nodes are tested."""
SETTINGS = Settings(width=192)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield graph_cache.folder()


def made(backend: str, **options: Any) -> Assembly:
    given = {"device": "cpu", "precision": "float32", "estimator": "network"} | options
    return factory.assemble(NetworkOptions(backend=backend, **given), SETTINGS)


def picture(size: tuple[int, int]) -> np.ndarray:
    image = SyntheticStreet(seed=0)[0].image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def seen(assembly: Assembly, size: tuple[int, int]) -> Any:
    camera = Camera(*size, size[0] * 0.6, size[0] * 0.6, size[0] / 2, size[1] / 2)
    return assembly.recognizer.observe("0", 0, picture(size), camera)


@pytest.fixture(scope="module")
def expected() -> Assembly:
    return made("torch")


@pytest.mark.parametrize("backend", GRAPHS)
def test_a_backend_computes_what_torch_does(backend: str, expected: Assembly) -> None:
    """At the size for which it is made ready and at another, in float32."""
    assembly = made(backend)
    assert assembly.backend == backend
    for size in SIZES:
        ours, theirs = (seen(one, size) for one in (assembly, expected))
        assert ours.depth.dtype == np.float32
        assert ours.labels.dtype == np.uint8
        # Antialiased shrinking rounds in another order than torch's.
        np.testing.assert_allclose(ours.depth, theirs.depth, rtol=2e-3)
        assert (ours.labels == theirs.labels).mean() > 0.999
    first, second = picture(SIZES[0]), picture(SIZES[0])[:, ::-1].copy()
    vectors = [one.estimator._model(first, second) for one in (assembly, expected)]
    np.testing.assert_allclose(*vectors, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_result_can_be_asked_for_twice_and_is_not_overwritten(backend: str) -> None:
    assembly = made(backend)
    image = picture(SIZES[0])
    wait = assembly.depth_network(image, 240.0)
    first, copy = wait(), wait().copy()
    assembly.depth_network(np.zeros_like(image), 240.0)()
    np.testing.assert_array_equal(first, copy)
    assert wait() is first


@pytest.mark.parametrize("backend", BACKENDS)
def test_damaged_weights_are_refused(backend: str, tmp_path: Path) -> None:
    network, header = load_network("", "depth")
    path = tmp_path / "w.safetensors"
    save_network(network, path, "depth", header.architecture, header.size, "metres")
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(key for key in tensors if key.startswith("decoder"))
    save_file({k: v for k, v in tensors.items() if k != name}, path, metadata)
    with pytest.raises(WeightsError, match=name):
        made(backend, depth=str(path))


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_are_replaced_while_frames_are_in_work(backend: str, tmp_path: Path) -> None:
    """Frames that were started before the change keep the old networks."""
    network, header = load_network("", "depth")
    for parameter in network.heads.parameters():
        parameter.data *= 0.5
    other = tmp_path / "other.safetensors"
    save_network(network, other, "depth", header.architecture, header.size, "metres")
    before = made(backend)
    waiting = [seen(before, SIZES[0]) for _ in range(5)]
    after = factory.assemble(
        NetworkOptions(str(other), device="cpu", precision="float32", backend=backend),
        SETTINGS,
        previous=before,
    )
    assert after.mask_network is before.mask_network
    new = seen(after, SIZES[0]).depth
    for one in waiting:
        np.testing.assert_array_equal(one.depth, waiting[0].depth)
    assert not np.allclose(new, waiting[0].depth, rtol=0.05)


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "mobilenet_v3_small"])
def test_graphs_of_the_other_encoders_equal_torch(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DepthNetwork(encoder).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    path = tmp_path / "w.safetensors"
    save_network(network, path, "depth", {"encoder": encoder}, (96, 64), "relative")
    network, header = load_network(str(path), "depth")
    graph = checked.describe(header, (96, 64))
    image = picture((96, 64))
    values = reference.evaluate(graph, {"image": image[None], "focal": np.float32([200])})
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = network(tensor, torch.tensor([200.0])).numpy()
    np.testing.assert_allclose(values["depth"], wanted, rtol=1e-4)


def test_every_tensor_of_a_file_is_used() -> None:
    """A layer that the graph forgot would go unnoticed in untrained heads alone."""
    for kind in ("depth", "masks", "pose"):
        header = header_of("", kind)
        weights = dict(load_file(resolve("", kind)))
        asked: set[str] = set()

        class Watching(dict):
            def __getitem__(self, key: str, asked: set[str] = asked) -> Any:
                asked.add(key)
                return super().__getitem__(key)

        networks.describe(kind, Watching(weights), header.size, header.size, header.architecture)
        left = {key for key in weights if key not in asked}
        # The heads at strides 2 and 4 are for training; the deviation is no part of the graph.
        rest = ("heads.1", "heads.2", "deviation.")
        assert {key for key in left if not key.startswith(rest)} == set()


@pytest.mark.skipif(not GRAPHS, reason="needs openvino or onnxruntime")
def test_a_graph_is_kept_and_a_broken_or_foreign_file_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(GRAPHS[0])
    assert cache.stat().st_mode & 0o777 == 0o700
    described: list[str] = []
    describe = checked.describe
    monkeypatch.setattr(
        checked, "describe", lambda h, s: described.append(h.network) or describe(h, s)
    )
    depth = seen(made(GRAPHS[0]), SIZES[0]).depth
    assert described == []
    for file in cache.glob("*.onnx"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    np.testing.assert_array_equal(seen(made(GRAPHS[0]), SIZES[0]).depth, depth)
    assert sorted(described) == ["depth", "masks", "pose"]
    for file in cache.glob("*.onnx"):
        file.chmod(0o666)
    made(GRAPHS[0])
    assert len(described) == 6


@pytest.mark.skipif(not GRAPHS, reason="needs openvino or onnxruntime")
def test_a_runtime_that_computes_something_else_is_refused(monkeypatch: Any, cache: Path) -> None:
    for file in cache.glob("*.onnx"):
        file.unlink()
    evaluate = reference.evaluate

    def wrong(*given: Any) -> Any:
        return {name: np.asarray(value) * 1.1 for name, value in evaluate(*given).items()}

    monkeypatch.setattr(reference, "evaluate", wrong)
    with pytest.raises(WeightsError, match=r"differs from NumPy.*backend torch"):
        made(GRAPHS[0])


def test_backends_that_do_not_exist_or_do_not_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"'jax'.*auto, torch, openvino"):
        choice.choose("jax", "cpu", "auto")
    if "openvino" in GRAPHS:
        with pytest.raises((ConfigurationError, DeviceError), match="cuda"):
            choice.choose("openvino", "cuda", "auto")


@pytest.mark.skipif("openvino" not in GRAPHS, reason="needs openvino")
def test_bfloat16_is_not_chosen_where_onednn_may_not_use_it(monkeypatch: Any) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
    assert not in_openvino.fast_in_bfloat16()


@pytest.mark.skipif("openvino" not in GRAPHS, reason="needs openvino")
@pytest.mark.parametrize(("verb", "output"), [("run", "--out"), ("evaluate", "--json")])
def test_on_openvino_torch_is_never_imported(verb: str, output: str, tmp_path: Path) -> None:
    code = (
        "import sys; from depth_recog.cli.main import main; "
        f"code = main([{verb!r}, 'synthetic:street?frames=3', {output!r}, {str(tmp_path / 'x')!r}, "
        "'--backend', 'openvino', '--device', 'cpu']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_openvino_sends_nothing_over_the_network(tmp_path: Path) -> None:
    """Its package reports every import to a server, unless the telemetry cannot be imported."""
    pytest.importorskip("openvino")
    code = (
        "import socket, sys\n"
        "def connect(*a): print('CONNECT', a, file=sys.stderr); raise OSError('no network')\n"
        "socket.socket.connect = connect; socket.getaddrinfo = connect\n"
        "from depth_recog.networks.backends import in_openvino\n"
        "in_openvino.core()\n"
    )
    command = [sys.executable, "-c", code]
    new_user = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=new_user)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_graph_for_a_size_that_no_camera_has_is_let_go() -> None:
    """Weights are loaded for the size of their training; a camera may have another one."""
    compiled: list[tuple[int, int]] = []
    header = header_of("depth-street", "depth")
    runtime = SimpleNamespace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            graph_models, "checked", lambda header, size, runtime: compiled.append(size) or size
        )
        model = graph_models.GraphModel(header, runtime)
        model.prepare([(416, 128)], guessed=True)
        model.prepare([(256, 192)])
        assert model.sizes == [(256, 192)]
        # A second camera does not take the first one's graph away.
        model.prepare([(320, 160)])
        model.prepare([(256, 192)])
        assert sorted(model.sizes) == [(256, 192), (320, 160)]
        right = graph_models.GraphModel(header, runtime)
        right.prepare([(416, 128)], guessed=True)
        right.prepare([(416, 128)])
        right.prepare([(256, 192)])
        assert sorted(right.sizes) == [(256, 192), (416, 128)], "a camera had the guessed size"
    assert compiled == [(416, 128), (256, 192), (320, 160), (416, 128), (256, 192)]


@pytest.mark.parametrize("backend", GRAPHS)
def test_swapped_networks_warm_up_at_the_size_in_use(backend: str, tmp_path: Path) -> None:
    """They get no graph for the size of their training, which no camera has."""
    first = made(backend)
    first.prepare(SIZES[1])
    other = tmp_path / "other.safetensors"
    network, header = load_network("", "depth")
    save_network(network, other, "depth", header.architecture, header.size, "relative")
    options = NetworkOptions(str(other), device="cpu", precision="float32", backend=backend)
    second = factory.assemble(options, SETTINGS, previous=first)
    assert second.depth_network is not first.depth_network
    second.warm_up()
    assert second.depth_network.sizes == second.mask_network.sizes == [SIZES[1]]
