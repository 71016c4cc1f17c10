# SPDX-License-Identifier: Apache-2.0
"""`depth-recog export`: the graph is the network, at every size, and comes back in as one."""

from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
pytest.importorskip("onnxscript", reason="pip install '.[onnx]'")

import onnx
import onnxruntime as ort
from commands import fails, process

from depth_recog.cli.main import main
from depth_recog.errors import WeightsError
from depth_recog.method.masking import CITYSCAPES
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.onnx import export as onnx_export
from depth_recog.networks.onnx.description import Description, read_description
from depth_recog.networks.onnx.export import compare, export_onnx
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import read_header, resolve

STREET = "synthetic:street?frames=2&width=208&height=64"


@pytest.fixture(scope="module")
def masks(tmp_path_factory) -> Path:
    """The shipped segmentation network, exported for any size."""
    path = tmp_path_factory.mktemp("masks") / "new" / "masks.onnx"
    assert main(["export", "masks-street", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> tuple[Path, CompletedProcess[str]]:
    """The shipped depth network, exported for one size by a process; and its output."""
    path = tmp_path_factory.mktemp("depth") / "depth.onnx"
    return path, process("export", "depth-street", "--size", "192x64", "--out", path, limit=240)


@pytest.fixture(scope="module")
def depth(printed: tuple[Path, CompletedProcess[str]]) -> Path:
    path, result = printed
    assert result.returncode == 0, result.stderr
    return path


def test_what_is_printed(printed: tuple[Path, CompletedProcess[str]]) -> None:
    """Output of torch's exporter is suppressed."""
    out, result = printed
    assert result.stderr == ""
    parity, made, licence = result.stdout.splitlines()
    assert parity.startswith("192x64: ")
    assert float(parity.split()[1]) < 1e-3
    assert made == f"{out}: depth network depth-street, 192x64"
    assert licence.startswith("licence: CC BY-NC-SA 3.0")


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).random((1, 3, height, width), np.float32)


def test_the_depth_graph_equals_the_network(depth: Path) -> None:
    session = ort.InferenceSession(str(depth))
    inputs = {entry.name: entry.shape for entry in session.get_inputs()}
    assert inputs == {"image": [1, 3, 64, 192], "focal": [1]}
    network, header = load_network("depth-street", "depth")
    image = noise(192, 64)
    for focal in (120.0, 900.0):
        given = {"image": image, "focal": np.array([focal], np.float32)}
        got = np.concatenate(session.run(None, given), 1)
        with torch.inference_mode():
            expected = network(*(torch.from_numpy(v) for v in given.values())).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-3)
    facts = {p.key: p.value for p in onnx.load(depth).metadata_props}
    assert facts["depth_recog.sha256"] == header.sha256
    assert facts["depth_recog.unit"] == "metres"
    assert "CC BY-NC-SA 3.0" in facts["depth_recog.licence"]


@pytest.mark.parametrize("size", [(64, 64), (96, 256), (512, 160)])
def test_a_graph_of_any_size_equals_the_network(masks: Path, size: tuple[int, int]) -> None:
    """Sizes that the export did not compare by itself."""
    network, _ = load_network("masks-street", "masks")
    image = noise(*size)
    (got,) = ort.InferenceSession(str(masks)).run(None, {"image": image})
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)).numpy()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())


def test_the_graph_is_one_file_of_a_common_opset(masks: Path, depth: Path) -> None:
    for path in (masks, depth):
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
        (opset,) = {one.version for one in model.opset_import if not one.domain}
        assert 9 <= opset <= 20
    assert {p.name for p in masks.parent.iterdir()} == {"masks.onnx", "masks.yaml"}
    assert {p.name for p in depth.parent.iterdir()} == {"depth.onnx"}


def test_exported_masks_can_be_loaded(masks: Path, tmp_path: Path) -> None:
    assert read_description(masks) == Description(CITYSCAPES)
    _, header = load_model(str(masks), "masks")
    assert header.classes == CITYSCAPES
    pictures = {}
    for name, more in {"ours": [], "theirs": ["--mask-weights", str(masks)]}.items():
        out = tmp_path / name
        assert main(["run", STREET, *more, "--precision", "float32", "--out", str(out)]) == 0
        pictures[name] = [
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            for folder in ("mask", "moving", "depth")
            for path in sorted((out / folder).iterdir())
        ]
    assert len(pictures["ours"]) == 6
    for ours, theirs in zip(pictures["ours"], pictures["theirs"], strict=True):
        assert (ours == theirs).mean() > 0.999


def test_a_graph_that_differs_is_not_written(tmp_path: Path, monkeypatch) -> None:
    """With a limit below rounding errors."""
    monkeypatch.setattr(onnx_export, "LIMIT", 1e-12)
    header = read_header(resolve("masks-street", "masks"))
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    out = tmp_path / "m.onnx"
    with pytest.raises(WeightsError, match="96x64 it differs from torch by"):
        export_onnx(header, out, (96, 64), [picture])
    assert list(tmp_path.iterdir()) == []


def test_compare_detects_another_network(depth: Path) -> None:
    """A bias that is 0.01 larger is detected."""
    network, _ = load_network("depth-street", "depth")
    picture = np.random.default_rng(0).integers(0, 256, (64, 192, 3), np.uint8)
    (same,) = compare(network, depth, "depth", [picture])
    assert same.size == (192, 64)
    assert same.answers == 2
    assert same.relative < 1e-4
    with torch.no_grad():
        network.heads[0].bias += 0.01
    (other,) = compare(network, depth, "depth", [picture])
    assert other.relative > 1e-3


def test_own_weights(tmp_path: Path) -> None:
    """Another architecture, from a path, without a card."""
    from depth_recog.networks.own.deeplab import segmentation_network
    from depth_recog.networks.own.files import save_network

    shape = {"design": "refined_deeplab", "widths": [16, 8], "enlargement": 1}
    own = tmp_path / "own.safetensors"
    save_network(segmentation_network(**shape), own, "masks", shape, (96, 64), "metres")
    out = tmp_path / "own.onnx"
    assert main(["export", str(own), "--size", "96x64", "--out", str(out)]) == 0
    model, _ = load_model(str(out), "masks")
    image = torch.rand(1, 3, 64, 96)
    network, _ = load_network(str(own), "masks")
    with torch.inference_mode():
        torch.testing.assert_close(model(image), network(image), rtol=1e-3, atol=1e-4)


BAD = {
    "missing": (["moon", "--out", "OUT/m.onnx"], ["moon", "depth-street"]),
    "pose": (["pose-street", "--out", "OUT/m.onnx"], ["a pose network", "depth and masks"]),
    "directory": (["OUT", "--out", "OUT/m.onnx"], ["a directory", "transformers"]),
    "suffix": (["masks-street", "--out", "OUT/m.pb"], ["m.pb", ".onnx"]),
    "size": (["masks-street", "--size", "100x64", "--out", "OUT/m.onnx"], ["100x64", "32"]),
    "small": (["masks-street", "--size", "96x32", "--out", "OUT/m.onnx"], ["96x32", "from 64"]),
    "place": (["masks-street", "--out", f"{__file__}/m.onnx"], ["test_export.py/m.onnx", "cannot"]),
}


@pytest.mark.parametrize("case", BAD)
def test_export_fails_with_one_line(case: str, tmp_path: Path, capsys) -> None:
    arguments, words = BAD[case]
    assert main(["export", *(a.replace("OUT", str(tmp_path)) for a in arguments)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("depth-recog export: ")
    for word in words:
        assert word in line
    assert list(tmp_path.iterdir()) == []


def test_without_the_exporters_packages(tmp_path: Path) -> None:
    arguments = "masks-street", "--size", "96x64", "--out", tmp_path / "m.onnx"
    line = fails("export", *arguments, without="onnxscript")
    assert "pip install 'depth-recog[onnx]'" in line
