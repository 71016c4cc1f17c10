# SPDX-License-Identifier: Apache-2.0
"""Weights files: shipped ones are complete, damaged ones are refused with a clear message."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import assert_refused
from safetensors.torch import load_file, save_file

from depth_recog.networks.own.files import load_network, save_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import (
    DEFAULT,
    SHIPPED,
    file_sha256,
    read_card,
    read_header,
    resolve,
)

FILES = sorted(SHIPPED.glob("*.safetensors"))
NAMES = [file.stem for file in FILES]


@pytest.fixture(scope="module")
def pose() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of the smallest shipped file."""
    from safetensors import safe_open

    path = SHIPPED / f"{DEFAULT['pose']}.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    return load_file(path), metadata


@pytest.fixture
def write(tmp_path: Path, pose: Any) -> Any:
    """Write a variation of that file; a tensor or an entry that is None is left out."""

    def variation(name: str = "w", tensors: Any = (), **metadata: str | None) -> Path:
        path = tmp_path / f"{name}.safetensors"
        changed = pose[0] | dict(tensors), pose[1] | metadata
        state, header = ({k: v for k, v in d.items() if v is not None} for d in changed)
        save_file(state, path, header)
        return path

    return variation


def card(path: Path, sha256: str) -> Path:
    beside = path.with_suffix(".md")
    beside.write_text(f"---\nsha256: {sha256}\nlicence: Apache-2.0\n---\n# A card\n")
    return beside


def refused(path: Path, *words: str, network: str = "pose", load: Path | None = None) -> None:
    """Loading (of `path`, or of `load`) fails with one line that contains `path` and the words."""
    assert_refused(load or path, network, str(path), *words)


# What is shipped


def test_the_defaults_are_shipped_and_all_files_are_small() -> None:
    assert set(DEFAULT.values()) <= set(NAMES)
    assert sum(file.stat().st_size for file in FILES) <= 25_000_000


@pytest.mark.parametrize("name", NAMES)
def test_shipped_file_is_complete(name: str) -> None:
    path = resolve(name, "depth")
    header = read_header(path)
    assert header.path == path
    assert header.sha256 == file_sha256(path)
    assert re.fullmatch("[0-9a-f]{64}", header.sha256)
    assert header.unit in ("metres", "relative")
    module, loaded = load_network(name, header.network)
    assert loaded == header
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())
    assert all(t.isfinite().all() for t in module.state_dict().values())
    assert path.stat().st_mode & 0o044 == 0o044, "root may have installed it for all users"
    content = read_card(path.with_suffix(".md"))
    assert content["sha256"] == header.sha256
    for key in ("licence", "data", "commands", "commit", "figures"):
        assert content.get(key), f"{name}.md says nothing of {key}"


@pytest.mark.parametrize("network", DEFAULT)
def test_empty_name_is_the_default(network: str) -> None:
    assert resolve("", network) == SHIPPED / f"{DEFAULT[network]}.safetensors"
    assert read_header(resolve("", network)).network == network


def test_forward_of_what_was_loaded() -> None:
    module, header = load_network("", "depth")
    width, height = header.size
    with torch.inference_mode():
        depth = module(torch.rand(1, 3, height, width), torch.tensor([240.0]))
    assert depth.shape == (1, 1, height, width)
    assert (depth > 0).all()


# Names and paths


def test_an_unknown_name_and_a_folder(tmp_path: Path) -> None:
    """The message lists the shipped names."""
    assert_refused(Path("depth-moon"), "depth", "depth-moon: no such weights file", *NAMES)
    refused(tmp_path, "no such weights file")


def test_home_is_expanded(write: Any, tmp_path: Path, monkeypatch) -> None:
    write("mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_network("~/mine.safetensors", "pose")[1].network == "pose"


# Damaged files


def test_the_same_tensors_are_the_same_file(tmp_path: Path) -> None:
    network, _ = load_network("", "pose")
    files = [tmp_path / f"{i}.safetensors" for i in range(5)]
    arguments = "pose", {}, (416, 128), "metres"
    assert len({save_network(network, file, *arguments) for file in files}) == 1
    again, _ = load_network(str(files[0]), "pose")
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_an_untouched_copy_loads(write: Any) -> None:
    path = write()
    card(path, file_sha256(path))
    module, header = load_network(str(path), "pose")
    assert header.sha256 == file_sha256(path)
    assert isinstance(module, PoseNetwork)


def test_card_of_another_file(write: Any) -> None:
    path = write()
    card(path, "ab" * 32)
    refused(path, file_sha256(path)[:12], "abababababab", "w.md", "restore", "new card")


def test_one_changed_byte(write: Any) -> None:
    path = write()
    card(path, file_sha256(path))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused(path, "damaged", "restore")


def test_card_without_a_hash(write: Any) -> None:
    path = write()
    path.with_suffix(".md").write_text("---\nlicence: Apache-2.0\n---\n")
    refused(path, "w.md says nothing", "new card")


@pytest.mark.parametrize("text", ["# A card\n", "", "---\n- a list\n---\n", "---\na: [1\n---\n"])
def test_card_without_front_matter(write: Any, text: str) -> None:
    path = write()
    path.with_suffix(".md").write_text(text)
    refused(path.with_suffix(".md"), "front matter", load=path)


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.01, 0.5, 0.9999])
def test_truncated(write: Any, share: float) -> None:
    path = write()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "not a readable safetensors file")


@pytest.mark.parametrize("content", [b"\x80\x04\x95pickle", b"hello\n", bytes(4096)])
def test_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    refused(path, "not a readable safetensors file")


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    """Unpickling a file of torch.save could run code."""
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    torch.save(Bomb(), tmp_path / "bomb.pt")
    refused(tmp_path / "bomb.pt", "not a readable safetensors file")
    assert not trap.exists()


# Files of others


def test_another_kind_of_network(write: Any) -> None:
    refused(write(), "holds a pose network", "a depth network is needed", network="depth")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"network": "piano"}, ("'piano'", "depth, masks, pose")),
        ({"format": None}, ("format", "'depth_recog/1' is needed", "write the file")),
        ({"format": "depth_recog/2"}, ("format", "'depth_recog/1' is needed", "write the file")),
        *(
            ({key: None}, ("incomplete", key))
            for key in ("size", "architecture", "network", "unit")
        ),
        *(({"size": text}, ("metadata is incomplete",)) for text in ("416x128", "[416]", "416")),
        ({"architecture": "{"}, ("metadata is incomplete",)),
        ({"architecture": '{"banana": 3}'}, ("architecture",)),
        ({"architecture": "[1, 2]"}, ("architecture",)),
        ({"architecture": "null"}, ("architecture",)),
        ({"architecture": '{"encoder": "banana"}'}, ("architecture",)),
    ],
)
def test_metadata_that_cannot_be_used(
    write: Any, metadata: dict[str, str | None], words: tuple[str, ...]
) -> None:
    refused(write(**metadata), *words)


def test_plain_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", "metadata is None", "write the file")


def test_tensors_of_another_network(write: Any, pose: Any) -> None:
    key = next(k for k, v in sorted(pose[0].items()) if v.dim() == 4)
    shape = tuple(pose[0][key].shape)
    refused(write(tensors={key: None}), f"tensor {key} is missing")
    refused(write(tensors={key: torch.zeros(2, 3)}), key, "(2, 3)", f"{shape} is needed")
    refused(write(tensors={"zebra.weight": torch.zeros(1)}), "zebra.weight", "another network")


# Writing


def test_saved_is_loaded(tmp_path: Path, pose: Any) -> None:
    architecture = json.loads(pose[1]["architecture"])
    torch.manual_seed(1)
    module = PoseNetwork(**architecture).eval().half().float()
    path = tmp_path / "new.safetensors"
    digest = save_network(module, path, "pose", architecture, (64, 32), "relative")
    again, header = load_network(str(path), "pose")
    assert header.sha256 == digest == file_sha256(path)
    assert (header.size, header.unit, header.architecture) == ((64, 32), "relative", architecture)
    for key, value in module.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(again.state_dict()[key], value)
    assert path.stat().st_mode & 0o777 == 0o644
