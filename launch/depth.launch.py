# SPDX-License-Identifier: Apache-2.0
"""The depth node, and a camera node for SOURCE unless `source` is none.

ros2 launch depth_recog depth.launch.py source:=/path/to/drive
ros2 launch depth_recog depth.launch.py source:=none image:=/camera/image_raw \
    camera_info:=/camera/camera_info
"""

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    NotEqualsSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

ARGUMENTS = (
    (
        "source",
        "synthetic",
        "what the camera node plays: a path, a device, kind:path; none for no camera node",
    ),
    ("rate", "0.0", "frames per second of the camera node; 0 for the source's own"),
    ("loop", "true", "whether the camera node starts anew after the last frame"),
    ("namespace", "", "namespace of both nodes"),
    ("image", "image", "image topic"),
    ("camera_info", "camera_info", "camera_info topic"),
    ("device", "auto", "where the networks run: auto, cpu, cuda or cuda:N"),
    ("weights", "", "depth weights: a shipped name or a path; the default where not given"),
    ("use_sim_time", "false", "take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error"),
)


def generate_launch_description() -> LaunchDescription:
    """Arguments, environment and nodes."""
    share = FindPackageShare("depth_recog")
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    remappings = [("image", value["image"]), ("camera_info", value["camera_info"])]
    log = ["--ros-args", "--log-level", value["log_level"]]
    sim_time = ParameterValue(value["use_sim_time"], value_type=bool)
    text = {k: ParameterValue(value[k], value_type=str) for k in ("source", "device", "weights")}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([share, "config", "depth.yaml"]),
                description="parameters of the depth node",
            ),
            # Fast DDS's default shared-memory segment is smaller than an image (see the file).
            SetEnvironmentVariable(
                "FASTRTPS_DEFAULT_PROFILES_FILE",
                EnvironmentVariable(
                    "FASTRTPS_DEFAULT_PROFILES_FILE",
                    default_value=PathJoinSubstitution([share, "config", "fastdds.xml"]),
                ),
            ),
            Node(
                package="depth_recog",
                executable="camera_node",
                name="camera_node",
                namespace=value["namespace"],
                condition=IfCondition(NotEqualsSubstitution(value["source"], "none")),
                parameters=[
                    {
                        "source": text["source"],
                        "rate": ParameterValue(value["rate"], value_type=float),
                        "loop": ParameterValue(value["loop"], value_type=bool),
                        "use_sim_time": sim_time,
                    }
                ],
                remappings=remappings,
                arguments=log,
                output="screen",
            ),
            Node(
                package="depth_recog",
                executable="depth_node",
                name="depth_node",
                namespace=value["namespace"],
                parameters=[
                    LaunchConfiguration("params_file"),
                    {
                        "device": text["device"],
                        "weights": text["weights"],
                        "use_sim_time": sim_time,
                    },
                ],
                remappings=remappings,
                arguments=log,
                output="screen",
            ),
        ]
    )
