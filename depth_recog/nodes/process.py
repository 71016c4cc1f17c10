# SPDX-License-Identifier: Apache-2.0
"""Entry points of the console scripts `depth_node` and `camera_node`.

Keep this module light: it is imported before the signal handlers are installed, so rclpy and torch
must be imported later, in the `load` functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from depth_recog.nodes.runtime import main

if TYPE_CHECKING:
    from depth_recog.nodes.runtime.managed import ManagedNode


def depth_node() -> int:
    """Run the depth node; returns the exit status of the process."""

    def load() -> Callable[[], ManagedNode]:
        from depth_recog.nodes.depth_node import DepthNode

        return DepthNode

    return main.run("depth_node", load)


def camera_node() -> int:
    """Run the camera node; returns the exit status of the process."""

    def load() -> Callable[[], ManagedNode]:
        from depth_recog.nodes.camera_node import CameraNode

        return CameraNode

    return main.run("camera_node", load)
