# SPDX-License-Identifier: Apache-2.0
"""Weights files that lie, that are exchanged while they load, or that would take all memory."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz import bombs

from depth_recog.errors import WeightsError
from depth_recog.networks.backends import graph_cache
from depth_recog.networks.backends.checked import describe
from depth_recog.networks.models import header_of
from depth_recog.networks.own.files import load_network, network_of, save_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import read_header

WIDTH = {"width": 8}


def pose(path: Path, value: float = 0.5, **metadata: Any) -> Path:
    """A pose network whose last bias is `value`."""
    network = PoseNetwork(**WIDTH)
    torch.nn.init.constant_(network.head[-1].bias, value)
    save_network(network, path, "pose", WIDTH, (64, 64), "metres")
    if metadata:
        data = path.read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        header["__metadata__"] |= metadata
        path.write_bytes(bombs.weights(header, data[end:]))
    return path


def bias(network: torch.nn.Module) -> float:
    return float(network.state_dict()["head.4.bias"][0])


@pytest.mark.parametrize("how", ["in place", "by rename", "cut off"])
def test_what_is_loaded_has_the_hash_that_is_shown(tmp_path: Path, how: str) -> None:
    """However the file changes after it was hashed; a mapped file would end the process."""
    path = pose(tmp_path / "w.safetensors", 0.5)
    header = header_of(str(path), "pose")
    if how == "cut off":
        os.truncate(path, 10)
    else:
        other = pose(tmp_path / "other.safetensors", 2.0)
        path.write_bytes(other.read_bytes()) if how == "in place" else other.replace(path)
    assert bias(network_of(header)) == 0.5
    assert header.sha256 == hashlib.sha256(header.content).hexdigest()
    # Also for a size that comes later.
    assert describe(header, (96, 64)).nodes


def test_a_sparse_file_of_50_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.touch()
    os.truncate(path, 50 * 10**9)
    with pytest.raises(WeightsError, match="50000000000 bytes, more than"):
        read_header(path)


def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.safetensors")
    for path in (tmp_path / "w.safetensors", Path("/dev/zero")):
        with pytest.raises(WeightsError, match="not a regular file"):
            read_header(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"architecture": '{"width": 1000000000}'},
        {"architecture": '{"width": 8, "surprise": 1}'},
        {"architecture": '{"encoder": "../x"}'},
        {"architecture": "[" * 10_000},
        {"architecture": '{"width": 1e999}'},
        {"size": "[1000000000, 1000000000]"},
        {"size": "[64, NaN]"},
        {"size": "64"},
        {"network": "\x1b[2J"},
    ],
)
def test_a_header_that_would_take_all_memory(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = pose(tmp_path / "w.safetensors", **metadata)
    with pytest.raises(WeightsError) as caught:
        load_network(str(path), "pose")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("network", "architecture"),
    [
        ("depth", {"widths": [8] * 100_000}),
        ("depth", {"widths": [8, 10**9]}),
        ("depth", {"near": 0}),
        ("depth", {"far": "inf"}),
        ("masks", {"design": "refined_deeplab", "enlargement": 1e9}),
        ("masks", {"design": "refined_deeplab", "temperature": 0}),
    ],
)
def test_an_architecture_of_no_network(
    tmp_path: Path, network: str, architecture: dict[str, Any]
) -> None:
    path = pose(tmp_path / "w.safetensors", network=network, architecture=json.dumps(architecture))
    with pytest.raises(WeightsError, match="unknown architecture"):
        read_header(path)


def test_shapes_are_compared_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pose(tmp_path / "w.safetensors", architecture='{"width": 4000}')
    built = []

    class Counting(PoseNetwork):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            built.append(self.head[0].weight.device.type)

    monkeypatch.setitem(network_of.__globals__["_CLASSES"], "pose", Counting)
    with pytest.raises(WeightsError, match="has shape"):
        load_network(str(path), "pose")
    assert built == ["meta"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_network_that_is_not_finite_is_not_loaded(tmp_path: Path, value: float) -> None:
    path = pose(tmp_path / "w.safetensors", value)
    with pytest.raises(WeightsError, match="not finite"):
        load_network(str(path), "pose")
    with pytest.raises(WeightsError, match="not finite"):
        describe(read_header(path), (64, 64))


@pytest.mark.parametrize("length", [0, 2**63, 2**40, 100])
def test_a_header_of_any_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{" * 50)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_header(path)


def test_a_checkpoint_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    initial = pytest.importorskip("depth_recog.training.initial")
    path = tmp_path / "w.pth"
    path.write_bytes(bombs.pth(2**28))
    with pytest.raises(WeightsError, match="unpacks to more than its size"):
        initial.initial_network(str(path), "depth")


# The cache of graphs


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph_cache.write("key", b"graph")
    assert graph_cache.read("key") == b"graph"
    return graph_cache.folder()


def test_the_cache_is_the_users_own(cache: Path) -> None:
    (file,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_cache_that_others_can_write_is_not_trusted(cache: Path, what: str) -> None:
    (file,) = cache.iterdir()
    (cache if what == "folder" else file).chmod(0o770 if what == "folder" else 0o660)
    assert graph_cache.read("key") is None


def test_a_cache_of_somebody_else_is_not_trusted(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert graph_cache.read("key") is None


def test_a_link_in_the_cache_is_not_followed(cache: Path) -> None:
    (file,) = cache.iterdir()
    elsewhere = file.rename(cache.parent / "elsewhere")
    file.symlink_to(elsewhere)
    assert graph_cache.read("key") is None
