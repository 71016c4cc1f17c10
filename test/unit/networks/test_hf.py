# SPDX-License-Identifier: Apache-2.0
"""A depth network of transformers, loaded from a directory: output, refusals, commands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="pip install '.[hf]'")

from commands import fails
from hf_models import MEAN, STD, depth_anything, glpn
from refusals import assert_refused
from safetensors.torch import load_file, save_file
from transformers import AutoModelForDepthEstimation

from depth_recog.cli.main import main
from depth_recog.errors import WeightsError
from depth_recog.networks.factory import NetworkOptions, check_weights
from depth_recog.networks.models import header_of
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.precision import in_precision

STREET = "synthetic:street?frames=3&width=208&height=64"
FOCAL = torch.tensor([300.0])
SIZE = (224, 448)
"""(height, width): multiples of the patches' 14 and of our 32, so that nothing is resized."""


@pytest.fixture(scope="module")
def relative(tmp_path_factory) -> Path:
    return depth_anything(tmp_path_factory.mktemp("hf") / "Depth-Anything-V2-Tiny-hf")


@pytest.fixture
def copy(relative: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(relative, tmp_path / "mine"))


def picture(height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    coarse = torch.rand(1, 3, 8, 16, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


def by_transformers(folder: Path, image: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W): the model's own output for the image."""
    model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        return model(pixel_values=image).predicted_depth[:, None]


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


# Output


def test_disparity_becomes_depth_without_a_unit(relative: Path) -> None:
    network, header = load_model(str(relative), "depth")
    assert (header.unit, header.size) == ("relative", (112, 56))
    assert header.path.stem == "Depth-Anything-V2-Tiny-hf"
    image = picture()
    disparity = by_transformers(relative, normalised(image))
    assert disparity.max() > 2 * disparity.min()
    with torch.no_grad():
        depth = network(image, FOCAL)
    torch.testing.assert_close(depth, 1 / (disparity + 0.01), rtol=1e-4, atol=1e-5)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_a_metric_model_says_metres(tmp_path: Path) -> None:
    folder = depth_anything(tmp_path / "m", depth_estimation_type="metric", max_depth=20)
    network, header = load_model(str(folder), "depth")
    assert header.unit == "metres"
    image = picture()
    with torch.no_grad():
        depth = network(image, FOCAL)
    torch.testing.assert_close(depth, by_transformers(folder, normalised(image)))
    assert depth.max() <= 20


def test_the_focal_length_that_a_metric_model_assumes_is_undone(tmp_path: Path) -> None:
    """What a lens of twice the focal length shows as large is twice as far away."""
    folder = depth_anything(tmp_path / "m", depth_estimation_type="metric", max_depth=20)
    image = picture()
    with torch.no_grad():
        plain = load_model(str(folder), "depth")[0](image, FOCAL)
    edit_config(folder, depth_recog={"focal": 1.5})
    network, header = load_model(str(folder), "depth")
    assert header.unit == "metres"
    assumed = 1.5 * SIZE[0]
    both = torch.tensor([assumed, 2 * assumed])
    with torch.no_grad():
        depth = network(image.expand(2, -1, -1, -1), both)
        inverse = network.inverse_depths(image, both[1:])[0]
    torch.testing.assert_close(depth[:1], plain, rtol=1e-4, atol=0)
    torch.testing.assert_close(depth[1:], 2 * plain, rtol=1e-4, atol=0)
    torch.testing.assert_close(inverse, 0.5 / plain, rtol=1e-4, atol=0)
    network.save(tmp_path / "again", (448, 224), "metres")
    assert (
        json.loads((tmp_path / "again" / "config.json").read_text())["depth_recog"]["focal"] == 1.5
    )


def test_a_model_without_normalisation(tmp_path: Path) -> None:
    folder = glpn(tmp_path / "g")
    network, header = load_model(str(folder), "depth")
    assert header.unit == "metres"
    image = picture()
    with torch.no_grad():
        torch.testing.assert_close(network(image, FOCAL), by_transformers(folder, image))


def test_without_a_preprocessor_imagenets_mean_is_used(copy: Path) -> None:
    from depth_recog.networks.own.designs import IMAGENET_MEAN, IMAGENET_STD

    (copy / "preprocessor_config.json").unlink()
    network, header = load_model(str(copy), "depth")
    assert header.size == (56, 56)
    assert network.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert network.std.flatten().tolist() == pytest.approx(IMAGENET_STD)


def test_it_computes_in_its_own_precision(relative: Path) -> None:
    network, _ = load_model(str(relative), "depth")
    assert in_precision(network, "bfloat16", torch.device("cpu")) is network


@pytest.mark.parametrize("size", [(64, 64), (128, 416), (96, 320), (192, 640)])
def test_any_image_size(relative: Path, size: tuple[int, int]) -> None:
    """Resizing to whole patches and back changes a smooth image little."""
    network, _ = load_model(str(relative), "depth")
    with torch.no_grad():
        depth = network(picture(*size), FOCAL)
    assert depth.shape == (1, 1, *size)
    assert torch.isfinite(depth).all()
    assert (depth > 0).all()


def test_the_three_scales_of_training_are_means_of_one(relative: Path) -> None:
    network, _ = load_model(str(relative), "depth")
    image = picture(64, 128)
    with torch.no_grad():
        fine, middle, coarse = network.inverse_depths(image, FOCAL)
        torch.testing.assert_close(1 / fine, network(image, FOCAL))
    assert middle.shape == (1, 1, 32, 64)
    for y, x in ((0, 0), (3, 7), (15, 31)):
        block = fine[0, 0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        assert coarse[0, 0, y, x] == pytest.approx(float(block.mean()), rel=1e-5)


def test_parameters_without_influence_are_frozen(relative: Path) -> None:
    """Distributed training waits for a gradient of every parameter that is not frozen."""
    from depth_recog.training.depth.model import DepthModel
    from depth_recog.training.initial import initial_network

    model = DepthModel(initial_network(str(relative), "depth").network, None)
    predicted = model(picture(64, 128), FOCAL, None)
    sum(one.sum() for one in predicted.inverses).backward()
    learning = {k: p for k, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in learning.values())
    assert not any("mask_token" in k for k in learning)
    assert 0 < len(model.encoder_parameters()) < len(learning)


# Refused directories


def refused(folder: Path, *words: str) -> None:
    assert_refused(folder, "depth", str(folder), *words)


def edit_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def edit_tensors(folder: Path, **values: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    tensors = {k: v for k, v in (load_file(file) | values).items() if v is not None}
    save_file(tensors, file, {"format": "pt"})


def write_preprocessor(folder: Path, **values: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(values))


HEAD = "head.conv2.weight"
KNOWN = "depth_anything, glpn"
DAMAGE = {
    "empty": (lambda f: [file.unlink() for file in f.iterdir()], ["without config.json"]),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), ["config.json", "JSON"]),
    "dpt": (lambda f: edit_config(f, model_type="dpt"), ["'dpt'", KNOWN]),
    "bert": (lambda f: edit_config(f, model_type="bert"), ["'bert'", KNOWN]),
    "no type": (lambda f: edit_config(f, model_type=None), ["None", KNOWN]),
    "focal": (lambda f: edit_config(f, depth_recog={"focal": 2.0}), ["focal 2.0"]),
    "mean": (lambda f: write_preprocessor(f, image_mean="grey"), ["incomplete"]),
    "size": (lambda f: write_preprocessor(f, image_mean=[0.5] * 3, size={}), ["incomplete"]),
    "tensor missing": (lambda f: edit_tensors(f, **{HEAD: None}), [f"{HEAD} is missing"]),
    "tensor shape": (lambda f: edit_tensors(f, **{HEAD: torch.zeros(2, 2)}), ["cannot load it"]),
    "cut off": (lambda f: os.truncate(f / "model.safetensors", 1000), ["cannot load it"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_directory(copy: Path, damage: str) -> None:
    change, words = DAMAGE[damage]
    change(copy)
    refused(copy, *words)


def test_a_pickle_is_not_run(copy: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self) -> object:
            return Path.touch, (trap,)

    torch.save(Bomb(), copy / "pytorch_model.bin")
    load_model(str(copy), "depth")  # the safetensors beside it are read
    (copy / "model.safetensors").unlink()
    refused(copy, "no .safetensors", "unpickling")
    assert not trap.exists()


def test_code_in_the_directory_is_not_run(copy: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (copy / "mine.py").write_text(f"open({str(trap)!r}, 'w')\n")
    own = {"AutoModelForDepthEstimation": "mine.Model", "AutoConfig": "mine.Config"}
    edit_config(copy, auto_map=own)
    load_model(str(copy), "depth")
    assert not trap.exists()


@pytest.mark.parametrize("network", ["masks", "pose"])
def test_only_depth_can_be_a_directory(relative: Path, network: str) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        load_model(str(relative), network)


def test_a_changed_file_is_another_network(copy: Path) -> None:
    before = header_of(str(copy), "depth")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config, indent=1))
    assert header_of(str(copy), "depth").sha256 != before.sha256
    (copy / "README.md").write_text("# a card of people's own\n")
    check_weights(NetworkOptions(depth=str(copy)))


# On the command line


def test_run_without_a_network(relative: Path, tmp_path: Path) -> None:
    """No request to the hub, not even for a newer version."""
    code = (
        "import socket, sys\n"
        "def connect(*a): print('CONNECT', a, file=sys.stderr); raise OSError('no network')\n"
        "socket.socket.connect = connect; socket.getaddrinfo = connect\n"
        "from depth_recog.cli.main import main\n"
        f"sys.exit(main(['run', {STREET!r}, '--weights', {str(relative)!r}, '--out', 'out']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == ""
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["unit"] == "relative"
    assert report["weights"]["path"] == str(relative)
    assert report["weights"]["sha256"] == header_of(str(relative), "depth").sha256
    depth = cv2.imread(str(tmp_path / "out" / "depth" / "0000000001.png"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (64, 208)
    assert (depth > 0).any()


def test_without_transformers(relative: Path, tmp_path: Path) -> None:
    arguments = STREET, "--weights", relative, "--out", tmp_path
    line = fails("run", *arguments, without="transformers")
    assert "pip install 'depth-recog[hf]'" in line


def test_what_run_wrote_is_evaluated(relative: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["run", STREET, "--weights", str(relative), "--device", "cpu", "--out", str(out)]
    assert main(arguments) == 0
    report = tmp_path / "r.json"
    assert main(["evaluate", str(out), "--json", str(report)]) == 0
    assert np.isfinite(json.loads(report.read_text())["depth"]["median_scaled"]["abs_rel"])
