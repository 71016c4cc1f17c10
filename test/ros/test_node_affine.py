# SPDX-License-Identifier: Apache-2.0
"""The depth node with a network that is affine in inverse depth: what goes out as metres is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("transformers", reason="pip install '.[hf]'")

import affine_network
import ros_messages
import ros_processes as rp
from affine_network import CAMERA_HEIGHT, FRAMES, frames
from robot import DEPTH, INFO, NODE, PARAMETERS, Robot
from sensor_msgs.msg import CameraInfo, Image

from depth_recog.nodes.io.outputs import RELATIVE
from depth_recog.nodes.runtime.children import node_command

pytestmark = pytest.mark.ros
MODULES = (*rp.INFERENCE, "depth_recog.networks.hf.depth")


class Driver(Robot):
    """Plays the street, each image after the answer to the one before."""

    def play(self, index: int) -> tuple[str, int]:
        """Send a frame; return the topic on which its depth comes, and its stamp."""
        stamp = self.new_stamp(10**9 // affine_network.RATE)
        frame = frames()[index][0]
        info = ros_messages.info_message(affine_network.SIZE, stamp)
        camera = frame.camera
        info.k = camera.matrix.reshape(-1).tolist()
        info.p = np.hstack((camera.matrix, np.zeros((3, 1)))).reshape(-1).tolist()
        self.infos.publish(info)
        self.images.publish(ros_messages.image_message(frame.image, "rgb8", stamp))
        self.of(INFO, stamp)

        def heard() -> list[str]:
            return [topic for topic in (DEPTH, RELATIVE) if self.of_stamp(topic, stamp)]

        return self.wait(heard, f"depth of frame {index}")[0], stamp

    def ratios(self, index: int, stamp: int) -> np.ndarray:
        """Published over true depth, where that is at most 40 m."""
        depth = ros_messages.array_of(self.of(DEPTH, stamp))
        truth = frames()[index][1]
        use = np.isfinite(depth) & (truth < 40)
        assert use.mean() > 0.3
        return depth[use] / truth[use]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    return str(affine_network.directory(tmp_path_factory.mktemp("hf") / "theirs"))


@pytest.fixture(scope="module")
def robot(weights: str) -> Iterator[Driver]:
    values = {"width": 0, "scale": "camera_height", "camera_height": CAMERA_HEIGHT, "gate": "off"}
    values |= {"weights": weights, "unscaled_depth": "relative"}
    command = node_command(NODE, "affine", PARAMETERS | values)
    command[2] = f"import affine_network; affine_network.install({weights!r}); {command[2]}"
    process = rp.Process(command, MODULES)
    driver = Driver("affine", process)
    driver.advertise()
    driver.listen({INFO: CameraInfo, DEPTH: Image, RELATIVE: Image})
    driver.send_until_heard(frames()[0][0].image, (INFO,))
    yield driver
    driver.close()
    process.kill()


def test_no_metres_at_rest_and_then_those_of_the_street(robot: Driver) -> None:
    for _ in range(8):
        assert robot.play(0)[0] == RELATIVE
    robot.wait(lambda: "scale and shift" in robot.diagnostics.get("scale reason", ""), "the reason")
    assert robot.diagnostics["in metres"] == "false"
    topics = []
    for index in range(FRAMES):
        topic, stamp = robot.play(index)
        topics.append(topic)
        if topic == DEPTH:
            ratios = robot.ratios(index, stamp)
            assert abs(np.median(ratios) - 1) < 0.1
            assert np.quantile(np.abs(ratios / np.median(ratios) - 1), 0.9) < 0.08, "it is bent"
    found = topics.index(DEPTH)
    assert 8 < found < FRAMES - 3
    assert RELATIVE not in topics[found:]
    robot.row("in metres", "true")


def test_an_exchange_takes_no_scale_along(robot: Driver, weights: str) -> None:
    assert robot.play(FRAMES - 1)[0] == DEPTH
    for name, unit in (("", "metres"), (weights, "relative")):
        assert robot.set_parameters(NODE, weights=name) == (True, "")
        robot.row("unit", unit)
        for index in range(9):
            assert robot.play(index)[0] == RELATIVE


def test_metric_and_relative_weights_without_a_scale(robot: Driver, weights: str) -> None:
    """The unit is that of the weights in use; a constant factor is refused with relative ones."""
    robot.change_states(NODE, "deactivate", "cleanup")
    assert robot.set_parameters(NODE, scale="none", camera_height=0.0) == (True, "")
    robot.change_states(NODE, "configure", "activate")
    robot.send_until_heard(frames()[0][0].image, (INFO,))
    for index in range(9):
        assert robot.play(index)[0] == RELATIVE
    assert "no constant factor" in robot.refusal(NODE, depth_scale=2.0)
    assert robot.set_parameters(NODE, weights="") == (True, "")
    robot.row("unit", "metres")
    topic, stamp = robot.play(9)
    assert topic == DEPTH
    assert abs(np.median(robot.ratios(9, stamp)) - 1) < 0.4
    assert robot.set_parameters(NODE, depth_scale=2.0) == (True, "")
    assert "no constant factor" in robot.refusal(NODE, weights=weights)
    assert robot.set_parameters(NODE, weights=weights, depth_scale=0.0) == (True, "")
    robot.row("unit", "relative")
    assert robot.play(10)[0] == RELATIVE
    process = robot.process
    assert process is not None
    assert "Warning" not in process.stderr, process.story()
    process.end()
