# SPDX-License-Identifier: Apache-2.0
"""The first inference of an ONNX model in a process of its own, and tensors in other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
pytest.importorskip("onnx", reason="pip install '.[test]'")

from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import colours, describe, write

from depth_recog.errors import WeightsError
from depth_recog.networks.device import CPU
from depth_recog.networks.models import header_of
from depth_recog.networks.onnx import masks, trial
from depth_recog.networks.onnx.description import read_description
from depth_recog.networks.onnx.masks import OnnxMasks

IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
ANSWER = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 3, "height", "width"])


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def endless(path: Path) -> Path:
    """A graph that loops 2^62 times."""
    flag = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("state", "out"))]
    body = helper.make_graph(nodes, "body", [step, flag, state], [on, out])
    constants = [
        numpy_helper.from_array(np.array(2**62, np.int64), "times"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    loop = helper.make_node("Loop", ["times", "true", "image"], ["answer"], body=body)
    return describe(write(path, [loop], [IMAGE], [ANSWER], constants))


def load(path: Path) -> OnnxMasks:
    return OnnxMasks(header_of(str(path), "masks"), CPU)


def test_a_good_graph_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = colours(tmp_path / "m.onnx")
    load(path)
    monkeypatch.setattr(trial.subprocess, "run", None)
    load(path)


def test_a_loop_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = endless(tmp_path / "m.onnx")
    # Long enough for the process to start on a loaded machine: it never ends anyway.
    monkeypatch.setattr(trial, "ONNX_SECONDS", 3)
    with pytest.raises(WeightsError, match=r"m\.onnx: its first inference did not end within 3 s"):
        load(path)


def test_a_loop_that_only_some_images_start_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = endless(tmp_path / "m.onnx")
    monkeypatch.setattr(masks, "ONNX_SECONDS", 0.3)
    header = header_of(str(path), "masks")
    with pytest.raises(WeightsError, match=r"an inference did not end within 0\.3 s"):
        OnnxMasks(header, CPU, read_description(path))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with SIGSEGV"),
        ("print('no JSON')", "ended without an answer"),
        ('print(\'{{"problem": "m.onnx: too large"}}\')', "too large"),
    ],
)
def test_a_graph_that_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(trial, "_CHILD", code)
    with pytest.raises(WeightsError, match=words):
        load(colours(tmp_path / "m.onnx"))


def test_a_graph_that_takes_all_memory(tmp_path: Path) -> None:
    size = numpy_helper.from_array(np.array([200_000, 200_000], np.int64), "size")
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Expand", ["mean", "size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["answer"]),
    ]
    path = describe(write(tmp_path / "m.onnx", nodes, [IMAGE], [ANSWER], [size]))
    with pytest.raises(WeightsError, match=r"m\.onnx"):
        load(path)


def test_tensors_in_another_file_are_refused(tmp_path: Path) -> None:
    """The file's sha256 would not cover them."""
    values = np.ones((1, 3, 1, 1), np.float32)
    (tmp_path / "w.bin").write_bytes(values.tobytes())
    outside = numpy_helper.from_array(values, "w")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("length", "12")):
        entry = outside.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("Mul", ["image", "w"], ["answer"])], "g", [IMAGE], [ANSWER], [outside]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    describe(path)
    with pytest.raises(WeightsError, match="keeps tensors in another file"):
        OnnxMasks(header_of(str(path), "masks"), CPU, read_description(path))


def test_the_graph_that_was_hashed_is_run(tmp_path: Path) -> None:
    """Not the one that lies there by now."""
    path = colours(tmp_path / "m.onnx")
    header = header_of(str(path), "masks")
    path.write_bytes(b"another")
    image = np.random.default_rng(0).random((32, 64, 3), np.float32)
    scores = OnnxMasks(header, CPU, read_description(path)).scores(image)
    assert np.array_equal(scores, image.transpose(2, 0, 1))


def test_another_format_of_the_runtime_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x10\0\0\0ORTM" + bytes(100))
    describe(path)
    with pytest.raises(WeightsError, match="own format"):
        OnnxMasks(header_of(str(path), "masks"), CPU, read_description(path))
