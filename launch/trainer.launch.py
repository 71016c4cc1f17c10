# SPDX-License-Identifier: Apache-2.0
"""Start the trainer node alone, beside a depth node that runs already.

ros2 launch depth_recog trainer.launch.py image:=/camera/image_raw
"""

from typing import Any

from launch import LaunchDescription

from depth_recog.nodes.runtime import launching
from depth_recog.nodes.runtime.launching import YES_OR_NO, Argument, yes

COMMON = ("namespace", "device", "weights", "log_level")
ARGUMENTS = (
    Argument("image", "image", "topic of the images"),
    Argument(
        "camera_info", "", "topic of the CameraInfo messages; empty: camera_info beside the images"
    ),
    Argument("depth_node", "depth_node", "name of the depth node that gets the learnt weights"),
    Argument("use_sim_time", "false", "whether the node takes its time from /clock", YES_OR_NO),
    Argument(
        "respawn", "false", "whether the node is started again after 2 s when it ends", YES_OR_NO
    ),
    *(argument for argument in launching.COMMON if argument.name in COMMON),
    *launching.TRAINER,
)


def nodes(values: launching.Values) -> list[Any]:
    """The node to start."""
    respawn = yes(values["respawn"])
    ends = launching.is_top_level("trainer.launch.py") and not respawn
    topics = ("image", "camera_info", "odom")
    remapped = [(name, values[name]) for name in topics if values[name]]
    return [
        launching.trainer_node(
            values,
            yes(values["use_sim_time"]),
            {"depth_node": values["depth_node"]},
            remappings=remapped,
            respawn=respawn,
            on_exit=launching.ended if ends else None,
            respawn_delay=2.0,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """For ros2 launch."""
    return launching.describe("trainer.launch.py", ARGUMENTS, nodes)
