# SPDX-License-Identifier: Apache-2.0
"""Shared parts of the launch files: arguments, the nodes, RViz, and what happens on failures.

Only launch files import this module: `launch` is part of a ROS workspace, not of the pip wheels.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from depth_recog.nodes.runtime.children import fastdds_environment

Values = dict[str, str]
"""Values of the launch arguments, by name."""

YES_OR_NO = ("true", "false", "True", "False")
OPTICAL_FRAME = "camera_optical_frame"


@dataclass(frozen=True)
class Argument:
    """One launch argument; without `choices`, any value is allowed."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


COMMON = (
    Argument("namespace", "", "namespace of all nodes and topics"),
    Argument(
        "params_file",
        "",
        "parameter file of the depth node; empty: config/depth.yaml, the defaults",
    ),
    Argument(
        "device", "", "where the networks run: auto, cpu, cuda, cuda:N; empty: as in params_file"
    ),
    Argument("weights", "", "depth weights: a shipped name or a path; empty: as in params_file"),
    Argument("rviz", "false", "whether to start RViz too", YES_OR_NO),
    Argument("rviz_config", "", "configuration file of RViz; empty: config/depth.rviz"),
    Argument(
        "fixed_frame",
        "camera_link",
        "RViz's fixed frame, z up; camera_link is published if the camera node runs",
    ),
    Argument(
        "log_level", "info", "log level of the nodes", ("debug", "info", "warn", "error", "fatal")
    ),
)

TRAINER = (
    Argument(
        "trainer_params_file",
        "",
        "parameter file of the trainer node; empty: config/trainer.yaml, the defaults",
    ),
    Argument(
        "folder",
        "",
        "folder of the learnt weights; empty: as in trainer_params_file, by default "
        "~/.ros/depth_recog",
    ),
    Argument("odom", "odom", "topic of the robot's odometry, for the trainer node"),
)


def describe(
    file: str, arguments: tuple[Argument, ...], nodes: Callable[[Values], list[Any]]
) -> LaunchDescription:
    """The LaunchDescription of a launch file.

    Args:
        file: name of the launch file.
        arguments: all of its arguments.
        nodes: returns the actions to start, given the values of the arguments.
    """
    names = [argument.name for argument in arguments]

    def start(context: LaunchContext) -> list[Any]:
        _warn_of_unknown(file, names, context)
        return nodes({name: context.launch_configurations[name] for name in names})

    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices or None
        )
        for a in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _warn_of_unknown(file: str, names: list[str], context: LaunchContext) -> None:
    """Warn of unknown arguments: `ros2 launch` accepts any name, also a misspelt one."""
    # If another launch file includes this one, the command line has the arguments of both.
    if file not in (Path(word).name for word in sys.argv):
        return
    for given in context.argv:
        name = given.split(":=")[0]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            advice = f"did you mean {near[0]}?" if near else "--show-args lists what it takes"
            get_logger(file).warning(f"argument {name} is unknown and has no effect: {advice}")


def yes(value: str) -> bool:
    """The value of an argument whose choices are `YES_OR_NO`."""
    return value in ("true", "True")


def number(values: Values, name: str) -> float:
    """The value of an argument that is a number. Raises ValueError where it is none."""
    try:
        return float(values[name])
    except ValueError:
        raise ValueError(f"{name}:={values[name]} is not a number") from None


def depth_node(
    values: Values, sim_time: bool, parameters: dict[str, Any] | None = None, **options: Any
) -> Node:
    """The depth node.

    Args:
        values: of the launch arguments, `COMMON` among them.
        sim_time: value of the parameter `use_sim_time`.
        parameters: further parameters, which override those in the file.
        options: further arguments of launch_ros.actions.Node.
    """
    # An argument that was not given must not override the file.
    given = {name: values[name] for name in ("device", "weights") if values[name]}
    given |= {"use_sim_time": sim_time} | (parameters or {})
    file = _file(values, "params_file", "depth.yaml")
    return _node("depth_node", values, [file, _as_strings(given)], **options)


def trainer_node(values: Values, sim_time: bool, chosen: dict[str, Any], **options: Any) -> Node:
    """The trainer node.

    Args:
        values: of the launch arguments, those of `COMMON` and `TRAINER` among them.
        sim_time: value of the parameter `use_sim_time`.
        chosen: further parameters, which override those in the file.
        options: further arguments of launch_ros.actions.Node.
    """
    given = {name: values[name] for name in ("device", "weights", "folder") if values[name]}
    given |= {"use_sim_time": sim_time} | chosen
    file = _file(values, "trainer_params_file", "trainer.yaml")
    return _node("trainer_node", values, [file, _as_strings(given)], **options)


def camera_node(values: Values, parameters: dict[str, Any], **options: Any) -> Node:
    """The camera node; arguments as for `depth_node`."""
    parameters = {"frame_id": OPTICAL_FRAME} | parameters
    return _node("camera_node", values, [_as_strings(parameters)], **options)


def _node(name: str, values: Values, parameters: list[Any], **options: Any) -> Node:
    return Node(
        package="depth_recog",
        executable=name,
        name=name,
        namespace=values["namespace"],
        parameters=parameters,
        arguments=["--ros-args", "--log-level", values["log_level"]],
        additional_env=fastdds_environment(),
        output="screen",
        **options,
    )


def rviz(
    values: Values, sim_time: bool, camera_link: bool, remappings: list[tuple[str, str]]
) -> list[Node]:
    """RViz, if the user wants it; with `camera_link`, also a publisher of that frame."""
    if not yes(values["rviz"]):
        return []
    scene = _file(values, "rviz_config", "depth.rviz")
    shared = {
        "namespace": values["namespace"],
        "parameters": [{"use_sim_time": sim_time}],
        "additional_env": fastdds_environment(),
    }
    nodes = [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz2",
            arguments=["-d", scene, "-f", values["fixed_frame"]],
            remappings=remappings,
            **shared,
        )
    ]
    if camera_link:
        # REP 103: from x forward, y left, z up to x right, y down, z forward.
        pose = ["--roll", "-1.5707963267948966", "--yaw", "-1.5707963267948966"]
        frames = ["--frame-id", "camera_link", "--child-frame-id", OPTICAL_FRAME]
        nodes.append(
            Node(
                package="tf2_ros",
                executable="static_transform_publisher",
                name="camera_link_publisher",
                arguments=pose + frames,
                **shared,
            )
        )
    return nodes


def failed(event: Any, context: LaunchContext) -> None:
    """For `on_exit`: end the launch, with status 1, because one of its processes has ended."""
    if not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} ended with status {event.returncode}: see above")


def _file(values: Values, name: str, default: str) -> str:
    """The file that an argument names, or the default in config/; launch ignores a missing one."""
    given = values[name]
    if not given:
        share = FindPackageShare("depth_recog").find("depth_recog")
        return str(Path(share) / "config" / default)
    if not Path(given).is_file():
        raise FileNotFoundError(f"{name}:={given} is not a file")
    return given


def _as_strings(parameters: dict[str, Any]) -> dict[str, Any]:
    """Keep strings as strings: launch_ros would convert a folder name such as 0005 to a number."""
    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
