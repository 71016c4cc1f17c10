# SPDX-License-Identifier: Apache-2.0
"""A running depth node with a peer in the role of the robot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ros_messages
import ros_peer
import ros_processes as rp
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64MultiArray

from depth_recog.nodes.runtime.depth_parameters import SPECS

NODE = "depth_node"
DEPTH, INFO = "depth/image_rect", "depth/camera_info"
MASKS = ("mask/labels", "mask/dynamic", "mask/moving")
TRANSFORMS = ("pose/target", "pose/static")
MATRICES = (
    "pose/target_matrix",
    "pose/static_matrix",
    "pose/dynamic_matrix",
    "pose/absolute_difference",
)
TOPICS: dict[str, type] = {
    DEPTH: Image,
    INFO: CameraInfo,
    **dict.fromkeys(MASKS, Image),
    **dict.fromkeys(TRANSFORMS, TransformStamped),
    **dict.fromkeys(MATRICES, Float64MultiArray),
}
WIDTH, HEIGHT = 416, 128
SMALL_WIDTH = 192
PARAMETERS: dict[str, Any] = {"threads": 1, "device": "cpu", "width": SMALL_WIDTH}
"""A quarter of the default number of pixels: most tests do not need accurate depth."""
DEFAULTS = {spec.name: spec.default for spec in SPECS} | PARAMETERS


@cache
def street(index: int) -> NDArray[np.uint8]:
    """Return (128, 416, 3) RGB of a drive with cars in sight."""
    from depth_recog.datasets.street import SyntheticStreet

    return SyntheticStreet(seed=0)[index].image


class Robot(ros_peer.Peer):
    """A peer that waits for the outputs of a depth node."""

    def image(self, index: int = 0, **arguments: Any) -> int:
        return self.send(street(index), **arguments)

    def of(self, topic: str, stamp: int) -> Any:
        """Wait for the message with this stamp."""
        return self.wait(lambda: self.of_stamp(topic, stamp), f"{topic} of {stamp}")

    def depth_of(self, stamp: int) -> Any:
        return self.of(DEPTH, stamp)

    def all_of(self, stamp: int, topics: tuple[str, ...] = (DEPTH, INFO, *MASKS)) -> dict[str, Any]:
        return {topic: self.of(topic, stamp) for topic in topics}

    def matrix_of(self, topic: str, stamp: int) -> NDArray[np.float64]:
        """Wait for the transform with this stamp; return it as a (4, 4) matrix."""
        transform = self.of(topic, stamp).transform
        matrix = np.eye(4)
        matrix[:3, :3] = ros_messages.rotation_of(transform.rotation)
        t = transform.translation
        matrix[:3, 3] = t.x, t.y, t.z
        return matrix

    def listened(self, *topics: str) -> None:
        """Wait until the node has discovered exactly the subscriptions to these topics."""
        self.row("listened to", ", ".join(sorted(topics)))

    def status(self, part: str, level: bytes, words: str = "", limit: float = rp.LIMIT_S) -> Any:
        """Wait for a status with this level and these words."""

        def there() -> bool:
            entry = self.statuses.get(part)
            return entry is not None and entry.level == level and words in entry.message

        self.wait(there, f"{part}: level {level!r}, {words!r}; {self.statuses.get(part)}", limit)
        return self.statuses[part]

    def begin(
        self, topics: dict[str, type] | None = None, until: tuple[str, ...] = (DEPTH,)
    ) -> None:
        """Publish images and subscribe to topics (default: depth), until some have a message."""
        self.advertise()
        self.listen(topics or {DEPTH: Image})
        self.send_until_heard(street(0), until)

    @contextmanager
    def parameters(self, **values: Any) -> Iterator[None]:
        """Set parameters of the node, and restore them at the end."""
        assert self.set_parameters(NODE, **values) == (True, "")
        try:
            yield
        finally:
            usual = {name: DEFAULTS[name] for name in values}
            assert self.set_parameters(NODE, **usual) == (True, "")

    def row(self, key: str, value: str) -> None:
        """Wait for a value in the diagnostics."""
        self.wait(lambda: self.diagnostics.get(key) == value, f"{key} = {value}")


def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """For a fixture around each test: forget received messages; a shared robot's node survives."""
    if "robot" not in request.fixturenames:
        yield
        return
    robot = request.getfixturevalue("robot")
    for heard in robot.heard.values():
        heard.clear()
    yield
    robot.process.assert_alive()


@contextmanager
def fleet(kind: type[Robot] = Robot, small: bool = True) -> Iterator[Any]:
    """Start depth nodes, each with a peer; all end with the context.

    Args:
        kind: class of the peers.
        small: nodes with `PARAMETERS`, from the node server; else as a user starts them.
    """
    with ExitStack() as ends:

        def start(
            namespace: str,
            parameters: dict[str, Any] | None = None,
            ros_args: tuple[str, ...] = (),
            **options: Any,
        ) -> tuple[rp.Process, Robot]:
            values = (PARAMETERS if small else {}) | (parameters or {})
            options = {"forked": small} | options
            process = rp.start_node(NODE, namespace, values, ros_args, **options)
            ends.callback(process.kill)
            peer = kind(namespace, process)
            ends.callback(peer.close)
            return process, peer

        yield start


def other_weights(path: Path, kind: str = "depth", **metadata: str) -> Path:
    """Save the shipped weights of a kind with a changed last layer; return the path."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from depth_recog.networks.weights import resolve

    with safe_open(resolve("", kind), framework="pt") as file:
        header = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    bias = [key for key in tensors if key.endswith("bias")][-1]
    for key in [key for key in tensors if "head" in key and key.endswith("bias")] or [bias]:
        tensors[key] = tensors[key] + 0.7
    save_file(tensors, path, header | metadata)
    return path
