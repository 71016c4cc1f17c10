# SPDX-License-Identifier: Apache-2.0
"""Trains depth weights on a recording or bag; ends with the training, with its status.

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
        "recordings to train on, each with @A:B for some of its frames; not with resume",
    ),
    Argument("out", "", "the run's folder; needed"),
    Argument(
        "validate", "", "frames that are judged, as source; not given: the end of each source"
    ),
    Argument(
        "config", "", "YAML as depth-recog train --print-config writes it; not given: defaults"
    ),
    Argument("set", "", "keys that overrule it, as 'steps=1000 device=cuda'"),
    Argument("resume", "false", "whether the run in out goes on where it was", YES_OR_NO),
)


def nodes(values: launching.Values) -> list[Any]:
    """The training, as depth-recog train runs it: a process, no node."""
    command = [sys.executable, "-m", "depth_recog.cli.main", "train"]
    command += shlex.split(values["source"])
    for name in ("out", "config"):
        command += [f"--{name}", values[name]] if values[name] else []
    for name in ("validate", "set"):
        for value in shlex.split(values[name]):
            command += [f"--{name}", value]
    command += ["--resume"] if yes(values["resume"]) else []
    # A step and a checkpoint may be under way when Ctrl-C comes.
    patience = {"sigterm_timeout": "60", "sigkill_timeout": "30"}
    return [ExecuteProcess(cmd=command, name="train", output="screen", on_exit=trained, **patience)]


def trained(event: Any, context: LaunchContext) -> Any:
    """The training's end is the launch's."""
    if event.returncode or context.is_shutdown:
        return launching.failed(event, context)
    return Shutdown(reason="the training has ended")


def generate_launch_description() -> LaunchDescription:
    """For ros2 launch."""
    return launching.describe("train.launch.py", ARGUMENTS, nodes)
