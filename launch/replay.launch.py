# SPDX-License-Identifier: Apache-2.0
"""Play a recording or bag through the depth node; ends with status 0 after the last frame.

ros2 launch depth_recog replay.launch.py source:=/path/to/drive
ros2 launch depth_recog replay.launch.py source:=/path/to/bag clock:=true rviz:=true

The project's camera node plays the source; rosbag2 is not needed.
"""

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import Shutdown, TimerAction

from depth_recog.nodes.runtime import launch_rviz, launching
from depth_recog.nodes.runtime.launching import YES_OR_NO, Argument, yes

ARGUMENTS = (
    Argument("source", "synthetic", "the recording: a bag or another path, or kind:path"),
    Argument("rate", "0.0", "frames per second; 0: the rate of the recording"),
    Argument("loop", "false", "whether to start again after the last frame", YES_OR_NO),
    Argument(
        "clock",
        "false",
        "true: recorded stamps, with /clock and use_sim_time; false: stamps are the current time",
        YES_OR_NO,
    ),
    *launching.COMMON,
)
LAST_IMAGES_S = 2.0
"""Seconds for the last images to be processed after the recording has ended."""


def nodes(values: launching.Values) -> list[Any]:
    """The nodes to start; the launch ends when one of them ends."""
    clock = yes(values["clock"])
    parameters = {
        "source": values["source"],
        "rate": launching.number(values, "rate"),
        "loop": yes(values["loop"]),
        "fallback_fov": launching.number(values, "fallback_fov"),
        "stamps": "recorded" if clock else "now",
        "publish_clock": clock,
        "use_sim_time": clock,
        # The networks take seconds to load: the first images would be lost.
        "wait_for_node": "depth_node",
    }
    return [
        launching.depth_node(values, clock, on_exit=launching.failed),
        launching.camera_node(values, parameters, on_exit=played),
        *launch_rviz.rviz(values, clock, True, []),
    ]


def played(event: Any, context: LaunchContext) -> Any:
    """End the launch after the recording."""
    if event.returncode or context.is_shutdown:
        return launching.failed(event, context)
    end = Shutdown(reason="the recording has been played")
    return TimerAction(period=LAST_IMAGES_S, actions=[end])


def generate_launch_description() -> LaunchDescription:
    """For ros2 launch."""
    return launching.describe("replay.launch.py", ARGUMENTS, nodes)
