# SPDX-License-Identifier: Apache-2.0
"""An ONNX segmentation model as the mask network: input, tiles, classes, devices, refusals."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
pytest.importorskip("onnx", reason="pip install '.[test]'")

from commands import fails
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_graphs import COLOURS, colours, describe, flat, places, two_inputs
from refusals import assert_refused

from depth_recog.cli.main import main
from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, DeviceError, WeightsError
from depth_recog.method.masking import CITYSCAPES, DYNAMIC, PresetRules
from depth_recog.method.settings import Settings
from depth_recog.networks import factory
from depth_recog.networks.device import Device
from depth_recog.networks.models import header_of, preset_rules
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.onnx import masks
from depth_recog.networks.onnx.session import choose_providers

STREET = "synthetic:street?frames=3&width=208&height=64"
CPU, CUDA, RT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.fixture(scope="module", autouse=True)
def _no_trial() -> Iterator[None]:
    """A process for each graph would take a second; test_onnx_trial.py tests it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "try_out", lambda header, description: None)
        yield


def scores_of(path: Path, image: torch.Tensor) -> torch.Tensor:
    return load_model(str(path), "masks")[0](image)


def noise(width: int, height: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


# Input and output


def test_scores_of_a_graph_of_any_size(tmp_path: Path) -> None:
    image = noise(96, 32)
    model, header = load_model(str(colours(tmp_path / "c.onnx")), "masks")
    assert header.classes == COLOURS
    assert torch.equal(model(image), image)


def test_the_input_is_scaled_and_normalised(tmp_path: Path) -> None:
    mean, std = [10.0, 20.0, 30.0], [2.0, 4.0, 8.0]
    path = colours(tmp_path / "c.onnx", mean=mean, std=std, scale=255)
    image = noise(64, 32)
    fed = scores_of(path, image)
    for channel in range(3):
        expected = (image[:, channel] * 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(fed[:, channel], expected, rtol=1e-5, atol=1e-5)


def test_a_graph_of_bytes_gets_0_to_255(tmp_path: Path) -> None:
    path = colours(tmp_path / "c.onnx", kind=TensorProto.UINT8)
    image = noise(64, 32)
    assert torch.equal(scores_of(path, image), (image * 255).round())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("output", ["scores", "labels"])
def test_layouts_and_labels(tmp_path: Path, output: str, layout: str) -> None:
    """Labels become scores of 0 and 1."""
    image = noise(64, 32)
    scores = scores_of(colours(tmp_path / "c.onnx", layout=layout, output=output), image)
    assert scores.shape == (1, 3, 32, 64)
    assert torch.equal(scores.argmax(1), image.argmax(1))
    assert output == "scores" or torch.equal(scores.sum(1), torch.ones(1, 32, 64))


@pytest.mark.parametrize("output", ["scores", "labels"])
def test_coarse_output_is_enlarged_to_the_frame(tmp_path: Path, output: str) -> None:
    """The border between two halves of a frame is kept at stride 4."""
    image = torch.zeros(1, 3, 32, 64)
    image[:, 0, :, :32] = 1
    image[:, 2, :, 32:] = 1
    scores = scores_of(colours(tmp_path / "c.onnx", stride=4, output=output), image)
    assert scores.shape == (1, 3, 32, 64)
    assert torch.equal(scores.argmax(1), image.argmax(1))


# Tiles


@settings(max_examples=25)
@given(width=st.integers(33, 200), seed=st.integers(0, 99), tall=st.booleans())
def test_a_wide_frame_is_tiled_without_distortion(
    tmp_path_factory, width: int, seed: int, tall: bool
) -> None:
    """Tiles of the graph's size keep the noise that resizing would remove."""
    image = noise(width, 32, seed)
    if width / 32 <= 1.1:
        return
    if tall:
        image = image.transpose(2, 3).contiguous()
    path = colours(tmp_path_factory.mktemp("t") / "c.onnx", size=(32, 32))
    assert torch.equal(scores_of(path, image), image)


@settings(max_examples=25)
@given(width=st.integers(36, 150), tall=st.booleans())
def test_every_pixel_comes_from_the_nearest_tile(tmp_path_factory, width: int, tall: bool) -> None:
    """The graph returns the position of a pixel in its tile."""
    side = 32
    path = places(tmp_path_factory.mktemp("t") / "p.onnx", side, across=not tall)
    image = noise(width, side)
    labels = scores_of(path, image.transpose(2, 3) if tall else image).argmax(1)[0]
    place = (labels.T if tall else labels).numpy()
    assert place.shape == (side, width)
    start = np.arange(width) - place
    assert (start == start[:1]).all()
    starts = sorted(set(start[0].tolist()))
    assert starts[0] == 0
    assert starts[-1] == width - side
    for before, after in pairwise(starts):
        assert after - before <= 0.6 * side + 1
    for pixel in range(width):
        distances = [abs(pixel + 0.5 - (s + side / 2)) for s in starts]
        own = abs(pixel + 0.5 - (start[0, pixel] + side / 2))
        assert own == min(distances)


def test_a_graph_of_another_size_gets_the_same_image(tmp_path: Path) -> None:
    """Resizing there and back changes a smooth image little."""
    x, y = torch.meshgrid(torch.linspace(0, 6, 160), torch.linspace(0, 2, 64), indexing="xy")
    image = torch.stack((x.sin(), (x + y).cos(), (y - x).sin()))[None] * 0.5 + 0.5
    for size in ((48, 48), (100, 100), (128, 64), (64, 128)):
        seen = scores_of(colours(tmp_path / "c.onnx", size=size), image)
        assert (seen - image).abs().max() < 0.03, size


def test_size_in_the_yaml_makes_tiles_of_a_graph_of_any_size(tmp_path: Path) -> None:
    image = noise(96, 32)
    path = colours(tmp_path / "c.onnx")
    assert torch.equal(scores_of(describe(path, size=[32, 32]), image), image)
    assert not torch.equal(scores_of(describe(path, size=[16, 16]), image), image)


# Classes


def test_default_dynamic_classes_are_those_of_the_model(tmp_path: Path) -> None:
    path = str(colours(tmp_path / "c.onnx", classes=["road", "car", "person"]))
    rules = preset_rules(list(DYNAMIC), path)
    assert rules == PresetRules(("road", "car", "person"), ("person", "car"))
    assert preset_rules(["road"], path).dynamic == ("road",)
    with pytest.raises(ConfigurationError, match=r"'bus'.*road, car, person"):
        preset_rules(["car", "bus"], path)


def test_the_yaml_names_dynamic_classes_unless_the_user_does(tmp_path: Path) -> None:
    path = str(colours(tmp_path / "c.onnx", classes=["floor", "dog", "car"], dynamic=["dog"]))
    assert preset_rules(list(DYNAMIC), path).dynamic == ("dog",)
    assert preset_rules(["car"], path).dynamic == ("car",)


def test_own_weights_have_the_cityscapes_classes() -> None:
    assert preset_rules(list(DYNAMIC), "") == PresetRules()
    assert header_of("", "masks").classes == CITYSCAPES


def test_an_assembly_keeps_its_rules_while_its_networks_stay(tmp_path: Path) -> None:
    path = str(colours(tmp_path / "c.onnx", classes=["road", "sky", "car"]))
    rules = preset_rules(list(DYNAMIC), path)
    options = factory.NetworkOptions(masks=path, device="cpu")
    ours = factory.assemble(options, Settings(rules))
    assert ours.recognizer.settings.rules == rules
    assert "onnxruntime" in ours.backend
    changed = ours.with_settings(Settings(gate="off"))
    assert changed.recognizer.settings == Settings(rules, "off")
    again = factory.assemble(options, Settings(rules), previous=ours)
    assert again.mask_network is ours.mask_network
    describe(Path(path), classes=["road", "sky", "car"], mean=[0.5, 0.5, 0.5])
    other = factory.assemble(options, Settings(rules), previous=ours)
    assert other.mask_network is not ours.mask_network


# The device


def test_the_provider_is_the_devices() -> None:
    cpu, second = Device("cpu"), Device("cuda", 1)
    everything = [RT, CUDA, CPU]
    assert choose_providers(cpu, None, everything) == [(CPU, {})]
    on_second = [(CUDA, {"device_id": 1}), (CPU, {})]
    assert choose_providers(second, None, everything) == on_second
    assert choose_providers(second, "tensorrt", everything) == [(RT, {"device_id": 1}), *on_second]
    assert choose_providers(second, "cpu", everything) == [(CPU, {})]


def test_a_missing_provider_is_named(caplog) -> None:
    gpu = Device("cuda")
    with pytest.raises(DeviceError, match=r"'tensorrt'.*\(CPU.*onnxruntime-gpu"):
        choose_providers(gpu, "tensorrt", [CPU])
    with pytest.raises(DeviceError, match=r"'cuda'.*onnxruntime-gpu"):
        choose_providers(gpu, "cuda", [CPU])
    with pytest.raises(DeviceError, match="needs a GPU"):
        choose_providers(Device("cpu"), "cuda", [CUDA, CPU])
    assert not caplog.records
    assert choose_providers(gpu, None, [CPU]) == [(CPU, {})]
    assert "onnxruntime-gpu" in caplog.text


def test_a_requested_provider_that_is_missing(tmp_path: Path) -> None:
    path = colours(tmp_path / "c.onnx", provider="cuda")
    with pytest.raises(DeviceError, match="'cuda'"):
        load_model(str(path), "masks")


# Refused models


def refused(path: Path, *words: str) -> None:
    assert_refused(path, "masks", path.stem, *words)


def test_without_its_yaml_or_the_graph(tmp_path: Path) -> None:
    refused(tmp_path / "c.onnx", "no such file")
    path = colours(tmp_path / "c.onnx")
    path.with_suffix(".yaml").unlink()
    refused(path, "c.yaml", "no such file", "classes: [")


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(100), "cut off"])
def test_no_graph(tmp_path: Path, content: bytes | str) -> None:
    path = places(tmp_path / "c.onnx", 32)
    path.write_bytes(path.read_bytes()[:500] if content == "cut off" else content)
    refused(path, "onnxruntime cannot read it", "export it again")


@pytest.mark.parametrize("output", ["scores", "labels"])
def test_other_classes_than_named(tmp_path: Path, output: str) -> None:
    path = colours(tmp_path / "c.onnx", output=output, classes=["road", "car"])
    if output == "scores":
        refused(path, "1x3x64x128", "2 classes", "c.yaml")
        return
    model, _ = load_model(str(path), "masks")  # the grey picture of the trial is all of class 0
    with pytest.raises(WeightsError, match=r"label 2.*names 2 classes"):
        model(torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: flat(p, 2), ("scores of rank 4", "c.yaml")),
        (lambda p: flat(p, 3), ("scores of rank 4", "c.yaml")),
        (two_inputs, ("2 inputs (a, b)",)),
        (lambda p: colours(p, size=("width", 32)), ("one side", "size")),
    ],
)
def test_a_graph_that_is_no_segmentation_of_an_image(
    tmp_path: Path, make: Callable[[Path], Path], words: tuple[str, ...]
) -> None:
    refused(make(tmp_path / "c.onnx"), *words)


@pytest.mark.parametrize(
    ("graph", "yaml", "words"),
    [
        ({}, {"output": "labels"}, ("labels of shape 1xHxW", "output: scores")),
        ({"output": "labels"}, {"output": "scores"}, ("scores of rank 4", "output: labels")),
        ({"size": (64, 32)}, {"layout": "NHWC"}, ("64 channels as NHWC", "layout")),
        ({"size": (64, 32)}, {"size": [32, 32]}, ("64x32", "size: [32, 32]")),
    ],
)
def test_a_yaml_that_differs_from_its_graph(
    tmp_path: Path, graph: dict, yaml: dict, words: tuple[str, ...]
) -> None:
    refused(describe(colours(tmp_path / "c.onnx", **graph), **yaml), *words)


@pytest.mark.parametrize("network", ["depth", "pose"])
def test_only_masks_can_be_onnx(tmp_path: Path, network: str) -> None:
    path = colours(tmp_path / "c.onnx")
    with pytest.raises(WeightsError, match=f"the {network} network must be .safetensors"):
        load_model(str(path), network)


BAD_YAML = {
    "no mapping": ("[road]", "keys with values"),
    "no YAML": ("classes: [", "not readable YAML"),
    "no classes": ("output: labels", "classes is missing"),
    "classes is a word": ("classes: road", "classes: a list"),
    "yes is no name": ("classes: [road, yes]", "classes: True"),
    "none at all": ("classes: []", "classes: 0 names"),
    "more than a byte": (f"classes: [{', '.join(f'c{i}' for i in range(256))}]", "256 names"),
    "twice": ("classes: [car, car]", "'car' is listed twice"),
    "unknown key": ("classes: [car]\nmeen: 3", "'meen'"),
    "mean": ("classes: [car]\nmean: 3", "mean: three numbers"),
    "std": ("classes: [car]\nstd: [1, 0, 1]", "std: 0"),
    "scale": ("classes: [car]\nscale: big", "scale: 'big'"),
    "layout": ("classes: [car]\nlayout: HWC", "'HWC' is not one of NCHW, NHWC"),
    "output": ("classes: [car]\noutput: masks", "not one of scores, labels"),
    "size": ("classes: [car]\nsize: [3]", "[width, height]"),
    "dynamic": ("classes: [car]\ndynamic: [bus]", "'bus' is not one of the classes"),
    "provider": ("classes: [car]\nprovider: npu", "not one of cpu, cuda, tensorrt"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_a_yaml_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    text, words = BAD_YAML[case]
    path = colours(tmp_path / "c.onnx")
    path.with_suffix(".yaml").write_text(text)
    refused(path, "c.yaml", words)


def test_without_onnxruntime(tmp_path: Path) -> None:
    path = colours(tmp_path / "c.onnx")
    arguments = STREET, "--mask-weights", path, "--out", tmp_path / "out"
    line = fails("run", *arguments, without="onnxruntime")
    assert "c.onnx" in line
    assert "pip install 'depth-recog[onnx]'" in line


# On the command line


@pytest.mark.parametrize("size", [("width", "height"), (64, 64)])
@pytest.mark.parametrize("output", ["scores", "labels"])
def test_run_with_an_onnx_model(tmp_path: Path, size: tuple, output: str) -> None:
    classes = ["road", "car", "sky"]
    path = colours(tmp_path / "c.onnx", size=size, output=output, classes=classes)
    out = tmp_path / "out"
    arguments = ["run", STREET, "--mask-weights", str(path), "--gate", "all", "--out", str(out)]
    assert main([*arguments, "--device", "cpu"]) == 0
    report = json.loads((out / "run.json").read_text())
    assert report["classes"] == classes
    assert report["dynamic_classes"] == ["car"]
    assert report["mask_weights"]["path"] == str(path)
    agree = []
    for frame in open_source(STREET):
        labels, moving, depth = (
            cv2.imread(str(out / folder / f"{frame.name}.png"), cv2.IMREAD_UNCHANGED)
            for folder in ("mask", "moving", "depth")
        )
        assert set(np.unique(labels)) <= {0, 1, 2}
        assert np.array_equal(moving == 2, labels == 1)
        sky = (labels == 2) & (depth > 0)
        assert depth[sky].size == 0 or depth[sky].max() <= 40 * 256
        agree.append((labels == frame.image.argmax(-1)).mean())
    # The networks see the frame enlarged, and a grey pixel may be of any class.
    assert min(agree) > 0.8


def test_what_run_wrote_is_evaluated_by_its_own_classes(tmp_path: Path) -> None:
    path = colours(tmp_path / "c.onnx", classes=["road", "car", "dog"], dynamic=["dog"])
    out, report = tmp_path / "out", tmp_path / "report.json"
    arguments = ["--mask-weights", str(path), "--device", "cpu"]
    assert main(["run", STREET, *arguments, "--out", str(out)]) == 0
    assert main(["evaluate", str(out), "--json", str(report)]) == 0
    assert main(["evaluate", STREET, *arguments, "--json", str(tmp_path / "live.json")]) == 0
    written, live = (json.loads(p.read_text()) for p in (report, tmp_path / "live.json"))
    assert written["gate"] == live["gate"]


def test_run_with_too_few_classes_writes_nothing(tmp_path: Path) -> None:
    path = describe(colours(tmp_path / "c.onnx"), classes=["a"])
    line = fails("run", STREET, "--mask-weights", path, "--out", tmp_path / "out")
    assert "c.onnx" in line
    assert "c.yaml" in line
    assert not (tmp_path / "out").exists()


def test_training_takes_its_labels_by_name(tmp_path: Path) -> None:
    """A folder of images has no labels of its own."""
    pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
    from training_runs import SIZE, image_folder, networks_of, quick_config

    from depth_recog.cli.train import chosen_frames
    from depth_recog.training.data.cache import prepare

    clip = chosen_frames(image_folder(tmp_path / "clip", 3))
    path = colours(tmp_path / "c.onnx", classes=["sky", "dog", "car"])
    config = quick_config(Path("depth-street"), masks=str(path))
    frames = prepare(clip, SIZE, networks_of(config), tmp_path / "cache")
    ids = np.array([CITYSCAPES.index("sky"), 255, CITYSCAPES.index("car")])
    assert np.array_equal(frames.labels, ids[np.array(frames.images).argmax(-1)])
