# SPDX-License-Identifier: Apache-2.0
"""Doors for networks and settings: weights, cards, graphs, directories, lineages, YAML, runs."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import hf_models
import numpy as np
import onnx_graphs
import torch
from constructed import write_recording

from depth_recog.cli.main import main
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.sources import open_source
from depth_recog.evaluation.recorded_run import RecordedRun
from depth_recog.evaluation.splits import read_file_list
from depth_recog.method.geometry.camera import Camera
from depth_recog.networks.backends.checked import describe
from depth_recog.networks.device import CPU
from depth_recog.networks.family import Entry, Family, active_weights, read_family
from depth_recog.networks.hf.loading import load_directory
from depth_recog.networks.models import header_of, preset_rules
from depth_recog.networks.onnx.description import read_description
from depth_recog.networks.onnx.masks import OnnxMasks
from depth_recog.networks.own.deeplab import segmentation_network
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.encoders import mobilenet_v3_small
from depth_recog.networks.own.files import network_of, save_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import read_card, read_header
from depth_recog.training.config import make_config, read_config, set_value, write_config
from depth_recog.training.initial import initial_network
from fuzz.mutations import Files
from fuzz.running import Door, taken
from fuzz.sources import each

TORCH = torch.device("cpu")


def _weights(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    made: tuple[tuple[str, torch.nn.Module, dict[str, Any]], ...] = (
        ("depth", DepthNetwork(widths=(8, 8, 8, 8, 8)), {"widths": [8, 8, 8, 8, 8]}),
        ("masks", segmentation_network("refined_deeplab", widths=(8, 8)), {}),
        ("pose", PoseNetwork(width=8), {"width": 8}),
    )
    found = []
    for kind, network, architecture in made:
        if kind == "masks":
            architecture = {"design": "refined_deeplab", "widths": [8, 8]}
        path = folder / "w.safetensors"
        save_network(network, path, kind, architecture, (64, 64), "metres")
        found.append({"w.safetensors": path.read_bytes()})
    return found


def _load_weights(folder: Path) -> None:
    header = read_header(folder / "w.safetensors")
    each(lambda: network_of(header), lambda: describe(header, (64, 64)))


def _cards(folder: Path) -> list[Files]:
    text = (
        "---\nname: w\nsha256: " + "ab" * 32 + "\nlicence: CC0-1.0\nsize: [416, 128]\ndata: |\n"
        "  lines\n  of text\ncommands: [a, b]\nfigures: {abs_rel: 0.1, a1: 0.9}\n---\n\n# w\n"
    )
    return [{"w.md": text.encode()}]


def _graphs(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (make, options) in enumerate(
        (
            (onnx_graphs.colours, {}),
            (onnx_graphs.colours, {"output": "labels", "dynamic": ["red"]}),
            (onnx_graphs.colours, {"size": (64, 32), "mean": [0.1, 0.2, 0.3], "scale": 255}),
            (onnx_graphs.colours, {"stride": 2}),
            (onnx_graphs.places, {"side": 32}),
        )
    ):
        place = folder / str(number)
        place.mkdir()
        make(place / "m.onnx", **options)
        found.append(taken(place))
    return found


def _load_graph(folder: Path) -> None:
    path = folder / "m.onnx"
    each(
        lambda: preset_rules(["red"], str(path)),
        # Not in a process of its own: that is what the fuzzer is.
        lambda: OnnxMasks(header_of(str(path), "masks"), CPU, read_description(path)).scores(
            np.zeros((64, 96, 3), np.float32)
        ),
    )


def _directories(folder: Path) -> list[Files]:
    return [
        taken(hf_models.depth_anything(folder / "a")),
        taken(hf_models.depth_anything(folder / "b", depth_estimation_type="metric", max_depth=80)),
        taken(hf_models.glpn(folder / "c")),
    ]


def _load_directory(folder: Path) -> None:
    load_directory(header_of(str(folder), "depth"), TORCH)


def _lineages(folder: Path) -> list[Files]:
    start = Entry("ab" * 32, "", 0, 0, "2026-01-01T00:00:00+00:00", "the start: x")
    later = Entry("cd" * 32, "ab" * 32, 1, 15, "2026-01-01T01:00:00+00:00", "better")
    text = Family((start, later), later.sha256).to_json().encode()
    return [{"lineage.json": text}, {"lineage.json": text, "lineage.before.json": text}]


def _read_lineage(folder: Path) -> None:
    each(lambda: read_family(folder), lambda: active_weights(folder))


def _settings(folder: Path) -> list[Files]:
    whole = write_config(make_config({"sources": ["a@1:2"]}, "fuzz"))
    small = "sources: [a]\nloss: {sky: 0.5, scale: 1}\nsize: [416, 128]\ngate: off\nsteps: 10\n"
    return [{"c.yaml": whole.encode()}, {"c.yaml": small.encode()}]


def _read_settings(folder: Path) -> None:
    def assigned() -> None:
        values: dict[str, Any] = {}
        for line in (folder / "c.yaml").read_text(errors="replace").splitlines()[:40]:
            key, _, value = line.strip().partition(": ")
            set_value(values, f"loss.{key}={value}")
        make_config(values, "--set")

    each(lambda: make_config(read_config(folder / "c.yaml"), "c.yaml"), assigned)


def _parameters(folder: Path) -> list[Files]:
    root = Path(__file__).parents[3] / "config"
    texts = [(root / name).read_bytes() for name in ("depth.yaml", "trainer.yaml", "nav2.yaml")]
    return [{"p.yaml": text} for text in texts]


def _read_parameters(folder: Path) -> None:
    from depth_recog.nodes.runtime.overrides import matches, sections_of

    for section in sections_of(str(folder / "p.yaml")):
        matches(section, "/camera/depth_node")


def _file_lists(folder: Path) -> list[Files]:
    text = "".join(f"{i:016x}  a/{i}.png\n" for i in range(50)).encode()
    return [{"w.train.sha256": text}, {"w.train.sha256.gz": gzip.compress(text)}]


def _read_file_list(folder: Path) -> None:
    (file,) = folder.iterdir()
    read_file_list(file)


def _checkpoints(folder: Path) -> list[Files]:
    buffer = io.BytesIO()
    state = mobilenet_v3_small().features.state_dict()
    torch.save({f"features.{key}": value for key, value in state.items()}, buffer)
    return [{"w.pth": buffer.getvalue()}]


def _runs(folder: Path) -> list[Files]:
    room = write_recording(folder / "room", 3, 96, 64)
    out = folder / "out"
    assert main(["run", str(room), "--out", str(out), "--device", "cpu"]) == 0
    report = json.loads((out / "run.json").read_text())
    report["source"] = "synthetic:street?frames=2&width=96&height=64"
    report["assumed_camera"] = {"fov": 90.0, "focal": None}
    (out / "run.json").write_text(json.dumps(report))
    return [taken(out)]


def _read_run(folder: Path) -> None:
    run = RecordedRun(folder)

    def answers() -> None:
        image, camera = np.zeros((64, 96, 3), np.uint8), Camera(96, 64, 90.0, 90.0, 48.0, 32.0)
        names = [file.stem for file in (folder / "depth").glob("*.png")]
        list(run.of(Frame(name, i, image, camera) for i, name in enumerate(names)))

    def source() -> None:
        # What a hostile report names is opened, but not read whole.
        if run.source.startswith(("synthetic", "folder", "video")):
            open_source(run.source, run.assumed)

    each(run.headers, source, lambda: run.assumed, answers)


DOORS = (
    Door("weights", _weights, _load_weights),
    Door("cards", _cards, lambda folder: read_card(folder / "w.md")),
    Door("ONNX graphs with YAML", _graphs, _load_graph),
    Door("directories of transformers", _directories, _load_directory, r"\.(json|safetensors)$"),
    Door("lineages", _lineages, _read_lineage),
    Door("training YAML, --set", _settings, _read_settings),
    Door("parameter YAML", _parameters, _read_parameters),
    Door("file lists", _file_lists, _read_file_list),
    Door("checkpoints", _checkpoints, lambda f: initial_network(str(f / "w.pth"), "pose")),
    Door("run folders", _runs, _read_run, r"\.(json|jsonl|txt)$|depth/.*png$"),
)
