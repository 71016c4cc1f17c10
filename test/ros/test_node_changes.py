# SPDX-License-Identifier: Apache-2.0
"""Parameters that change while images stream: settings at once, networks after loading."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_peer
from diagnostic_msgs.msg import DiagnosticStatus
from robot import DEFAULTS, DEPTH, NODE, TOPICS, Robot, fleet, other_weights, street, unharmed
from sensor_msgs.msg import Image

from depth_recog.networks.weights import DEFAULT, SHIPPED, file_sha256
from depth_recog.nodes.io.outputs import RELATIVE
from depth_recog.nodes.runtime.depth_parameters import SPECS

pytestmark = pytest.mark.ros

SHIPPED_DEPTH = SHIPPED / f"{DEFAULT['depth']}.safetensors"
SHIPPED_SHA = file_sha256(SHIPPED_DEPTH)


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    """One node that all tests share; each test restores what it changed."""
    with fleet() as start:
        process, peer = start("changes")
        peer.begin(TOPICS | {RELATIVE: Image})
        yield peer
        counts = peer.settled()
        assert counts["received"] == sum(counts[k] for k in ros_peer.OUTCOMES)
        assert counts["rejected"] == 0
        process.end()


alive = pytest.fixture(autouse=True)(unharmed)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    made = {
        "first": other_weights(folder / "first.safetensors"),
        "second": other_weights(folder / "second.safetensors", unit="relative"),
        "masks": other_weights(folder / "masks.safetensors", "masks"),
        "pose": SHIPPED / f"{DEFAULT['pose']}.safetensors",
        "text": folder / "text.safetensors",
        # A correct header with another network's tensors: only loading can detect it.
        "hollow": other_weights(
            folder / "hollow.safetensors", architecture='{"encoder": "mobilenet_v2", "widths": [8]}'
        ),
        "damaged": folder / "damaged.safetensors",
    }
    made["text"].write_text("no weights")
    damaged = bytearray(SHIPPED_DEPTH.read_bytes())
    damaged[-1] ^= 1
    made["damaged"].write_bytes(damaged)
    shutil.copy(SHIPPED_DEPTH.with_suffix(".md"), made["damaged"].with_suffix(".md"))
    return made


def depth_of(robot: Robot) -> Any:
    return ros_messages.array_of(robot.depth_of(robot.image()))


def use_weights(robot: Robot, file: Path) -> None:
    """Set depth weights, and wait until the node uses them."""
    assert robot.set_parameters(NODE, weights=str(file)) == (True, "")
    robot.row("weights sha256", file_sha256(file))


def use_shipped_weights(robot: Robot) -> None:
    assert robot.set_parameters(NODE, weights="") == (True, "")
    robot.row("weights sha256", SHIPPED_SHA)


def maps_of(robot: Robot, *topics: str) -> list[Any]:
    """Send an image; return what the node publishes of it on these topics."""
    found = robot.all_of(robot.image(), topics)
    return [ros_messages.array_of(message) for message in found.values()]


def pose_after(robot: Robot) -> Any:
    """Return the matrix of a pair of two new images, after a gap that ends all tracks."""
    robot.depth_of(robot.image(1, stamp=robot.new_stamp(10**9)))
    return robot.matrix_of("pose/target", robot.image(2))


LIVE: dict[str, Any] = {
    "gate": "all",
    "gate_rotation": 5.0,
    "gate_translation": 50.0,
    "gate_threshold": 5.0,
    "width": 320,
    "mask_margin": 7,
    "longest_gap": 1.0,
    "min_depth": 1.0,
    "max_depth": 50.0,
    "depth_encoding": "16UC1",
    "output_size": "network",
    "depth_scale": 2.0,
    "camera_height": 1.65,
    "camera_pitch": 5.0,
    "unscaled_depth": "hold",
    "points_step": 2,
    "pose_estimator": "epipolar",
    "dynamic_classes": ["person"],
    "input_rectified": True,
    "image_timeout": 5.0,
    "image_bits": 12,
    "fallback_fov": 80.0,
}


def test_live_parameters_change_while_images_stream(robot: Robot) -> None:
    """Each live parameter changes between two images; each image is published or dropped."""
    files = {"weights", "gate_weights", "mask_weights", "pose_weights"}
    elsewhere = {"max_uncertainty"}  # needs other weights: test_uncertainty.py
    assert {spec.name for spec in SPECS if spec.live} - files - elsewhere == set(LIVE)
    before = robot.settled()
    sent = 0
    for name, value in LIVE.items():
        for new in (value, DEFAULTS[name]):
            sent += 2
            robot.image(0)
            assert robot.set_parameters(NODE, **{name: new}) == (True, ""), name
            robot.depth_of(robot.image(1))
    after = robot.settled(before["received"] + sent)
    grown = {k: after[k] - before[k] for k in after}
    assert grown["received"] == sent
    assert grown["published"] + grown["dropped"] == sent


def test_the_gate_changes_at_the_next_frame(robot: Robot) -> None:
    for gate, expected in (("all", {0, 2}), ("off", {0})):
        assert robot.set_parameters(NODE, gate=gate) == (True, "")
        moving, dynamic = maps_of(robot, "mask/moving", "mask/dynamic")
        assert dynamic.any()
        assert set(np.unique(moving)) == expected
        robot.row("gate", gate)
    assert robot.set_parameters(NODE, gate="object") == (True, "")


@pytest.mark.parametrize("name", ["gate_translation", "gate_threshold"])
def test_a_setting_of_the_gate_keeps_the_frames_before(robot: Robot, name: str) -> None:
    """The next frame still makes a pair: observations do not depend on the gate."""
    robot.depth_of(robot.image(0))
    with robot.parameters(**{name: 4.0}):
        robot.of("pose/target", robot.image(1))


def test_dynamic_classes(robot: Robot) -> None:
    with robot.parameters(dynamic_classes=["road"]):
        labels, dynamic = maps_of(robot, "mask/labels", "mask/dynamic")
    assert (labels == 0).any()
    assert np.array_equal(dynamic == 255, labels == 0)


def test_the_estimator(robot: Robot, files: dict[str, Path]) -> None:
    usual = pose_after(robot)
    for estimator in ("network", "epipolar"):
        values = {"pose_estimator": estimator, "pose_weights": str(files["pose"])}
        assert robot.set_parameters(NODE, **values) == (True, "")
        robot.settled()  # an earlier report says "active" too
        robot.row("weights state", "active")
        assert not np.allclose(pose_after(robot), usual, atol=1e-4)
    assert robot.set_parameters(NODE, pose_estimator="pnp", pose_weights="") == (True, "")
    robot.settled()
    robot.row("weights state", "active")
    assert np.isfinite(pose_after(robot)).all()


# Networks


def test_weights_are_exchanged_between_two_frames(robot: Robot, files: dict[str, Path]) -> None:
    usual = depth_of(robot)
    sha = file_sha256(files["first"])
    before = robot.settled()
    assert robot.set_parameters(NODE, weights=str(files["first"])) == (True, "")
    stamps: list[int] = []
    robot.repeat(
        lambda: stamps.append(robot.image(len(stamps) % 3)),
        lambda: robot.diagnostics.get("weights sha256") == sha,
        "new weights",
    )
    # On a busy machine DDS may replace an image before the node takes it.
    after = robot.settled(before["received"] + 1)
    grown = {k: after[k] - before[k] for k in after}
    assert grown["published"] + grown["dropped"] == grown["received"] <= len(stamps)
    assert robot.diagnostics["weights"] == "first"
    assert robot.diagnostics["weights state"] == "active"
    other = depth_of(robot)
    both = np.isfinite(usual) & np.isfinite(other)
    # The changed bias makes all inverse depths larger.
    assert np.median(other[both] / usual[both]) < 0.9
    # The shipped weights again give the same depth.
    use_shipped_weights(robot)
    assert np.allclose(depth_of(robot), usual, equal_nan=True)


def test_no_pair_spans_the_exchange(robot: Robot, files: dict[str, Path]) -> None:
    """A pose is in the unit of the depth: frames of two networks must not make a pair."""
    for change in (lambda: use_weights(robot, files["first"]), lambda: use_shipped_weights(robot)):
        robot.depth_of(robot.image(0))
        change()
        stamp = robot.image(1)
        robot.depth_of(stamp)
        robot.settled()
        robot.drain()
        assert robot.of_stamp("pose/target", stamp) is None
        robot.of("pose/target", robot.image(2))


def test_of_two_quick_changes_the_last_wins(robot: Robot, files: dict[str, Path]) -> None:
    for name in ("first", "second", "first", "second"):
        assert robot.set_parameters(NODE, weights=str(files[name])) == (True, "")
    robot.settled()  # an earlier report may say the same of the second change
    robot.row("weights state", "active")
    assert robot.diagnostics["weights sha256"] == file_sha256(files["second"])
    assert robot.diagnostics["unit"] == "relative"
    # No earlier request may take effect after the last.
    for _ in range(3):
        robot.of(RELATIVE, robot.image())
        robot.settled()
        assert robot.diagnostics["weights"] == "second"
    use_shipped_weights(robot)


REFUSED = {
    "missing": ("weights", "/nowhere.safetensors", "no such weights file"),
    "text": ("weights", "text", "safetensors"),
    "another network": ("weights", "pose", "a depth network is needed"),
    "damaged": ("weights", "damaged", "sha256"),
    "the gate's": ("gate_weights", "damaged", "sha256"),
    "masks": ("mask_weights", "pose", "a masks network is needed"),
    "poses": ("pose_weights", "first", "a pose network is needed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused(
    robot: Robot, files: dict[str, Path], case: str
) -> None:
    name, file, words = REFUSED[case]
    reason = robot.refusal(NODE, **{name: str(files.get(file, file))})
    assert words in reason
    assert "\n" not in reason
    robot.settled()
    assert robot.diagnostics["weights sha256"] == SHIPPED_SHA
    assert robot.diagnostics["weights state"] == "active"
    robot.depth_of(robot.image())


def test_weights_that_cannot_be_loaded_leave_the_old_ones(
    robot: Robot, files: dict[str, Path]
) -> None:
    assert robot.set_parameters(NODE, weights=str(files["hollow"])) == (True, "")
    status = robot.status("weights", DiagnosticStatus.WARN, "hollow.safetensors")
    assert "the previous networks stay in use" in status.message
    assert robot.diagnostics["weights state"].startswith("failed: ")
    assert robot.diagnostics["weights sha256"] == SHIPPED_SHA
    robot.process.wait_for_line("ERROR.*hollow.safetensors")
    robot.depth_of(robot.image())
    assert robot.set_parameters(NODE, weights="") == (True, "")
    robot.status("weights", DiagnosticStatus.OK, "active")


def test_a_file_replaced_under_its_name(robot: Robot, files: dict[str, Path]) -> None:
    """A trainer overwrites the weights file and sets the same name again."""
    shas = set()
    for name in ("first", "second"):
        place = files["first"].with_name("best.safetensors")
        shutil.copy(files[name], place)
        shas.add(file_sha256(place))
        use_weights(robot, place)
    assert len(shas) == 2
    use_shipped_weights(robot)


def test_mask_weights(robot: Robot, files: dict[str, Path]) -> None:
    (usual,) = maps_of(robot, "mask/labels")
    assert robot.set_parameters(NODE, mask_weights=str(files["masks"])) == (True, "")
    robot.row("mask weights sha256", file_sha256(files["masks"]))
    assert robot.diagnostics["weights sha256"] == SHIPPED_SHA
    robot.depth_of(robot.image())
    assert robot.set_parameters(NODE, mask_weights="") == (True, "")
    robot.row("mask weights", DEFAULT["masks"])
    assert np.array_equal(maps_of(robot, "mask/labels")[0], usual)


def test_an_onnx_model_in_the_place_of_the_mask_weights(robot: Robot, tmp_path: Path) -> None:
    """Its classes replace those of Cityscapes in the same frame as its labels."""
    pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
    pytest.importorskip("onnx")
    from onnx_graphs import colours, describe

    topics = "mask/labels", "mask/dynamic"
    path = colours(tmp_path / "mine.onnx", size=(64, 64), classes=["road", "car", "sky"])
    path.with_suffix(".yaml").rename(tmp_path / "kept")
    assert "mine.yaml" in robot.refusal(NODE, mask_weights=str(path))
    (tmp_path / "kept").rename(path.with_suffix(".yaml"))
    assert robot.set_parameters(NODE, mask_weights=str(path)) == (True, "")
    robot.row("mask weights sha256", file_sha256(path))
    robot.row("mask classes", "0 road, 1 car, 2 sky")
    labels, dynamic = maps_of(robot, *topics)
    strongest = street(0).argmax(-1)
    assert (labels == strongest).mean() > 0.8
    assert np.array_equal(dynamic > 0, labels == 1)
    assert "road, car, sky" in robot.refusal(NODE, dynamic_classes=["bus"])
    assert robot.set_parameters(NODE, dynamic_classes=["sky"]) == (True, "")
    labels, dynamic = maps_of(robot, *topics)
    assert np.array_equal(dynamic > 0, labels == 2)
    # A broken file that only loading detects: the previous model stays.
    broken = describe(tmp_path / "broken.onnx", classes=["sky", "floor"])
    broken.write_text("no graph")
    assert robot.set_parameters(NODE, mask_weights=str(broken)) == (True, "")
    robot.status("weights", DiagnosticStatus.WARN, "broken.onnx")
    labels, dynamic = maps_of(robot, *topics)
    assert np.array_equal(dynamic > 0, labels == 2)
    usual = DEFAULTS["dynamic_classes"]
    assert robot.set_parameters(NODE, mask_weights="", dynamic_classes=usual) == (True, "")
    robot.row("mask weights", DEFAULT["masks"])


def test_a_directory_of_transformers_in_the_place_of_the_weights(
    robot: Robot, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="pip install '.[hf]'")
    from hf_models import depth_anything

    folder = depth_anything(tmp_path / "theirs")
    assert robot.set_parameters(NODE, weights=str(folder)) == (True, "")
    # The node imports torch and transformers now.
    robot.wait(lambda: robot.diagnostics.get("weights") == "theirs", "their weights", 200)
    robot.row("unit", "relative")
    theirs = ros_messages.array_of(robot.of(RELATIVE, robot.image()))
    assert theirs.shape == street(0).shape[:2]
    (folder / "config.json").unlink()
    assert "config.json" in robot.refusal(NODE, weights=str(folder))
    use_shipped_weights(robot)
    assert not np.array_equal(depth_of(robot), theirs)


def test_an_exchange_while_inactive(robot: Robot, files: dict[str, Path]) -> None:
    robot.change_states(NODE, "deactivate")
    robot.refusal(NODE, weights="/nowhere.safetensors")
    assert robot.set_parameters(NODE, weights=str(files["first"]), gate="off") == (True, "")
    robot.row("weights sha256", file_sha256(files["first"]))
    robot.change_states(NODE, "activate")
    robot.send_until_heard(street(0), [DEPTH, "mask/moving"])
    assert not ros_messages.array_of(robot.heard["mask/moving"][-1]).any()
    assert robot.diagnostics["weights"] == "first"
    assert robot.set_parameters(NODE, weights="", gate="object") == (True, "")
    robot.row("weights sha256", SHIPPED_SHA)
