# SPDX-License-Identifier: Apache-2.0
"""Train depth weights on a recording or bag; ends when training ends, with its exit status.

ros2 launch depth_recog train.launch.py source:=/path/to/bag out:=runs/mine
ros2 launch depth_recog depth.launch.py source:=none weights:=$PWD/runs/mine/mine.safetensors
"""

import shlex
import sys
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import ExecuteProcess, Shutdown

from depth_recog.nodes.runtime import launching
from depth_recog.nodes.runtime.launching import YES_OR_NO, Argument, yes

ARGUMENTS = (
    Argument(
        "source",
        "",
        "recordings to train on; SOURCE@A:B uses frames A to B - 1; not allowed with resume",
    ),
    Argument("out", "", "folder of the run; required"),
    Argument(
        "validate",
        "",
        "held-out recordings for validation, as in source; empty: the end of each source",
    ),
    Argument(
        "config",
        "",
        "YAML file as printed by depth-recog train --print-config; empty: the defaults",
    ),
    Argument("set", "", "keys that override the config, for example 'steps=1000 device=cuda'"),
    Argument(
        "scale",
        "",
        "where metres come from: none, camera_height, odometry, auto, or a factor; empty: none, "
        "and with resume",
    ),
    Argument("camera_height", "", "height of the camera, metres"),
    Argument("camera_pitch", "", "of the camera, degrees below the horizon, if known within 2"),
    Argument("odometry", "", "the robot's motion: a bag's topic, or a TUM, KITTI or CSV file"),
    Argument("speed", "", "the robot's constant speed, m/s"),
    Argument("resume", "false", "whether to continue the run in out", YES_OR_NO),
)


def nodes(values: launching.Values) -> list[Any]:
    """The process to start: depth-recog train, which is no ROS node."""
    command = [sys.executable, "-m", "depth_recog.cli.main", "train"]
    command += shlex.split(values["source"])
    for name in ("out", "config", "scale", "camera_height", "camera_pitch", "odometry", "speed"):
        # One word, since a pitch may be negative.
        command += [f"--{name.replace('_', '-')}={values[name]}"] if values[name] else []
    for name in ("validate", "set"):
        for value in shlex.split(values[name]):
            command += [f"--{name}", value]
    command += ["--resume"] if yes(values["resume"]) else []
    # After Ctrl-C, training finishes its step and writes a checkpoint.
    patience = {"sigterm_timeout": "60", "sigkill_timeout": "30"}
    return [
        ExecuteProcess(
            cmd=command,
            name="train",
            output="screen",
            on_exit=trained,
            prefix=launching.TIED,
            **patience,
        )
    ]


def trained(event: Any, context: LaunchContext) -> Any:
    """End the launch after the training."""
    if event.returncode or context.is_shutdown:
        return launching.failed(event, context)
    return Shutdown(reason="the training has ended")


def generate_launch_description() -> LaunchDescription:
    """For ros2 launch."""
    return launching.describe("train.launch.py", ARGUMENTS, nodes)
