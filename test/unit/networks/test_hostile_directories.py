# SPDX-License-Identifier: Apache-2.0
"""Directories of transformers that name code, kernels, networks and files elsewhere."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="pip install '.[hf]'")

import torch
from hf_models import depth_anything
from safetensors.torch import load_file, save_file

from depth_recog.errors import WeightsError
from depth_recog.networks.hf.loading import load_directory
from depth_recog.networks.models import header_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return depth_anything(tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Nothing connects to anywhere, whatever a directory says."""
    made: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        made.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield made
    assert not made


def change(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def load(folder: Path) -> torch.nn.Module:
    return load_directory(header_of(str(folder), "depth"), CPU)


@pytest.mark.parametrize(
    "values",
    [
        {"attn_implementation": "some/kernel"},
        {"_attn_implementation": "some/kernel", "_attn_implementation_internal": "some/kernel"},
        {"auto_map": {"AutoModelForDepthEstimation": "mine.Model"}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"transformers_weights": "../other.safetensors"},
        {"fusion_config": {"patch_embeddings": True}, "distributed_config": {}},
        {"backbone_kwargs": {"pretrained": True}, "_name_or_path": "some/model"},
    ],
)
def test_keys_that_lead_elsewhere_are_left_out(
    folder: Path, good: Path, values: dict[str, Any]
) -> None:
    change(folder, **values)
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "some/model", "peft_type": "LORA"}'
    )
    expected = load(good).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in load(folder).state_dict().items())


@pytest.mark.parametrize(
    "values",
    [
        {"backbone": "some/backbone", "backbone_config": None, "use_pretrained_backbone": True},
        {"backbone": "some/backbone"},
        {"use_timm_backbone": True},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18"}},
        {"backbone_config": {"model_type": "dinov2", "hidden_size": 10**12}},
        {"neck_hidden_sizes": [10**9] * 4},
        {"fusion_hidden_size": float("inf")},
        {"patch_size": 0},
        {"depth_recog": {"size": [10**9, 10**9]}},
        {"depth_recog": {"scale": float("nan")}},
        {"model_type": ["x"]},
    ],
)
def test_what_would_be_fetched_or_fill_the_memory_is_refused(
    folder: Path, values: dict[str, Any]
) -> None:
    change(folder, **values)
    with pytest.raises(WeightsError):
        load(folder)


def test_a_large_network_without_its_tensors_is_not_built(folder: Path) -> None:
    change(folder, reassemble_hidden_size=50_000, fusion_hidden_size=50_000)
    with pytest.raises(WeightsError, match="numbers, its files have"):
        load(folder)


def test_the_index_of_parts_is_not_followed(folder: Path, good: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shutil.copy(good / "model.safetensors", tmp_path / "outside.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "../outside.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    half = len(tensors) // 2
    names = list(tensors)
    save_file({k: tensors[k] for k in names[:half]}, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"is missing|numbers, its files have"):
        load(folder)
    save_file({k: tensors[k] for k in names[half:]}, folder / "model-00002-of-00002.safetensors")
    expected = load(good).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in load(folder).state_dict().items())
    save_file({names[0]: tensors[names[0]]}, folder / "model-00003-of-00003.safetensors")
    with pytest.raises(WeightsError, match="in two files"):
        load(folder)


def test_files_that_change_after_they_were_hashed(folder: Path) -> None:
    header = header_of(str(folder), "depth")
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v * 2 for k, v in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="changed while they were read"):
        load_directory(header, CPU)


def test_tensors_that_are_not_finite(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        load(folder)
