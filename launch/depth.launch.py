# SPDX-License-Identifier: Apache-2.0
"""Start the depth node; a camera node, unless source:=none; and a trainer node, if trainer:=true.

ros2 launch depth_recog depth.launch.py source:=/path/to/drive
ros2 launch depth_recog depth.launch.py source:=none image:=/camera/image_raw trainer:=true
"""

from typing import Any

from launch import LaunchDescription

from depth_recog.nodes.runtime import launch_rviz, launching
from depth_recog.nodes.runtime.launching import YES_OR_NO, Argument, yes

ARGUMENTS = (
    Argument(
        "source",
        "synthetic",
        "what the camera node plays: a path, a device, kind:path; none: no camera node",
    ),
    Argument("rate", "0.0", "frames per second of the camera node; 0: the rate of the source"),
    Argument(
        "loop", "true", "whether the camera node starts again after the last frame", YES_OR_NO
    ),
    Argument("image", "image", "topic of the images"),
    Argument(
        "camera_info", "", "topic of the CameraInfo messages; empty: camera_info beside the images"
    ),
    Argument(
        "image_transport",
        "raw",
        "compressed: subscribe to IMAGE/compressed; raw: as in params_file",
        ("raw", "compressed"),
    ),
    Argument("use_sim_time", "false", "whether the nodes take their time from /clock", YES_OR_NO),
    Argument(
        "respawn", "false", "whether a node that has ended is started again after 2 s", YES_OR_NO
    ),
    Argument(
        "trainer",
        "false",
        "whether a trainer node learns from the images, and hands better weights to the depth node",
        YES_OR_NO,
    ),
    *launching.COMMON,
    *launching.TRAINER,
)


def nodes(values: launching.Values) -> list[Any]:
    """The nodes to start."""
    sim_time = yes(values["use_sim_time"])
    topics = {name: values[name] for name in ("image", "camera_info") if values[name]}
    shared = {
        "remappings": list(topics.items()),
        "respawn": yes(values["respawn"]),
        "respawn_delay": 2.0,
    }
    plays = values["source"] != "none"
    transport = values["image_transport"]
    chosen = {} if transport == "raw" else {"image_transport": transport}
    # Part of a larger launch, it must not end the rest of the robot.
    if launching.is_top_level("depth.launch.py") and not shared["respawn"]:
        shared["on_exit"] = launching.ended
    actions = [launching.depth_node(values, sim_time, chosen, **shared)]
    if yes(values["trainer"]):
        # Without the trainer, depth goes on.
        own = {"remappings": [*topics.items(), ("odom", values["odom"])], "on_exit": None}
        actions.append(launching.trainer_node(values, sim_time, chosen, **shared | own))
    if plays:
        parameters = {
            "source": values["source"],
            "rate": launching.number(values, "rate"),
            "loop": yes(values["loop"]),
            "fallback_fov": launching.number(values, "fallback_fov"),
            "use_sim_time": sim_time,
        }
        actions.append(launching.camera_node(values, parameters, **shared))
    return actions + launch_rviz.rviz(values, sim_time, plays, shared["remappings"])


def generate_launch_description() -> LaunchDescription:
    """For ros2 launch."""
    return launching.describe("depth.launch.py", ARGUMENTS, nodes)
