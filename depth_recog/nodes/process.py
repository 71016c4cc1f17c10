# SPDX-License-Identifier: Apache-2.0
"""Entry points of the console scripts `depth_node`, `camera_node` and `trainer_node`.

Keep this module light: it is imported before the signal handlers are installed. `main.run` calls
the lambda, which imports rclpy and torch, after that.
"""

from __future__ import annotations

from importlib import import_module

from depth_recog.nodes.runtime import main


def depth_node() -> int:
    """Run the depth node; returns the exit status of the process."""
    return main.run("depth_node", lambda: import_module("depth_recog.nodes.depth_node").DepthNode)


def camera_node() -> int:
    """Run the camera node; returns the exit status of the process."""
    return main.run(
        "camera_node", lambda: import_module("depth_recog.nodes.camera_node").CameraNode
    )


def trainer_node() -> int:
    """Run the trainer node; returns the exit status of the process."""
    return main.run(
        "trainer_node", lambda: import_module("depth_recog.nodes.trainer_node").TrainerNode
    )
