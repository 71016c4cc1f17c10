# SPDX-License-Identifier: Apache-2.0
"""Shared parts of the launch files: arguments, the nodes, and what happens on failures.

Only launch files import this module: `launch` is part of a ROS workspace, not of the pip wheels.

Nothing is left behind. An error found before the start must not be raised while launch visits the
actions: it would forget the processes that it has started by then. And launch does not end its
processes if it is ended itself by anything but SIGINT: see `TIED`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, TimerAction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from depth_recog.errors import ConfigurationError
from depth_recog.nodes.runtime.children import fastdds_environment
from depth_recog.nodes.runtime.overrides import unknown

Values = dict[str, str]
"""Values of the launch arguments, by name."""

YES_OR_NO = ("true", "false", "True", "False")

# Linux sends a process this signal when its parent has ended, for whatever reason.
_DEATH_SIGNAL = "setpriv --pdeathsig INT " if shutil.which("setpriv") else ""
TIED = [_DEATH_SIGNAL, LaunchConfiguration("launch-prefix", default="")]
"""Prefix of the processes: they end with launch, also after its SIGTERM, SIGKILL or SIGHUP."""


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
    Argument(
        "frame_id", "camera_optical_frame", "frame of the images that the camera node publishes"
    ),
    Argument("frame_prefix", "", "put before frames of images, odometry and RViz, such as left/"),
    Argument(
        "scale",
        "",
        "where metres come from: none, constant, camera_height, odometry, auto; empty: as in "
        "params_file",
    ),
    Argument("camera_height", "0", "height of the camera, metres; 0: params_file's, or from tf"),
    Argument("odometry", "odometry", "topic of nav_msgs/Odometry, for the scale"),
    Argument("speed", "speed", "topic of geometry_msgs/TwistStamped, for the scale"),
    Argument("gps", "gps", "topic of sensor_msgs/NavSatFix, for the scale"),
    Argument("fallback_fov", "0", "field of view without calibration, degrees; 0: params_file's"),
    Argument("rviz", "false", "whether to start RViz too; needs the package rviz2", YES_OR_NO),
    Argument("rviz_config", "", "configuration file of RViz; empty: config/depth.rviz"),
    Argument(
        "fixed_frame",
        "",
        "RViz's fixed frame, z up; empty: camera_link behind frame_prefix, which is published if "
        "the camera node runs",
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
        try:
            return nodes({name: context.launch_configurations[name] for name in names})
        except (OSError, ValueError, ConfigurationError) as error:
            # In an event of its own: by then, launch knows all that it has started.
            return [TimerAction(period=0.0, actions=[OpaqueFunction(function=_fail, args=[error])])]

    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices or None
        )
        for a in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _fail(context: LaunchContext, error: Exception) -> None:
    """End the launch, with status 1."""
    raise error


def is_top_level(file: str) -> bool:
    """Whether the user has launched this file, not one that includes it."""
    return file in (Path(word).name for word in sys.argv)


def _warn_of_unknown(file: str, names: list[str], context: LaunchContext) -> None:
    """Warn of unknown arguments: `ros2 launch` accepts any name, also a misspelt one."""
    # If another launch file includes this one, the command line has the arguments of both.
    if not is_top_level(file):
        return
    for given in context.argv:
        name = given.split(":=")[0]
        if name not in names:
            get_logger(file).warning(unknown("argument", name, names, "--show-args"))


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
    names = ("device", "weights", "frame_prefix", "scale")
    given: dict[str, Any] = {name: values[name] for name in names if values[name]}
    for name in ("fallback_fov", "camera_height"):
        if value := number(values, name):
            given[name] = value
    motion = [(name, values[name]) for name in ("odometry", "speed", "gps")]
    options["remappings"] = [*options.get("remappings", ()), *motion]
    given |= {"use_sim_time": sim_time} | (parameters or {})
    file = file_of(values, "params_file", "depth.yaml")
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
    file = file_of(values, "trainer_params_file", "trainer.yaml")
    return _node("trainer_node", values, [file, _as_strings(given)], **options)


def camera_node(values: Values, parameters: dict[str, Any], **options: Any) -> Node:
    """The camera node; arguments as for `depth_node`."""
    frames = {name: values[name] for name in ("frame_id", "frame_prefix")}
    parameters = frames | parameters
    return _node("camera_node", values, [_as_strings(parameters)], **options)


def _node(name: str, values: Values, parameters: list[Any], **options: Any) -> Node:
    return executable(
        "depth_recog",
        name,
        "build the workspace again: colcon build",
        namespace=values["namespace"],
        parameters=parameters,
        arguments=["--ros-args", "--log-level", values["log_level"]],
        output="screen",
        **options,
    )


def executable(package: str, file: str, remedy: str, **options: Any) -> Node:
    """The action that starts an executable, which must be there before anything is started.

    Args:
        package: that has it.
        file: name of the executable.
        remedy: what to do if it is missing.
        options: further arguments of launch_ros.actions.Node; `name` of the node is that of the
            executable unless it is among them.

    Raises:
        ConfigurationError: the package or the executable is missing.
    """
    try:
        found = (Path(get_package_prefix(package)) / "lib" / package / file).is_file()
        what = f"the executable {file} of the package {package}"
    except (PackageNotFoundError, ValueError):
        found, what = False, f"the package {package}"
    if not found:
        raise ConfigurationError(f"{what} was not found in the sourced workspaces: {remedy}")
    environment = fastdds_environment()
    options = {"name": file} | options
    return Node(
        package=package,
        executable=file,
        exec_name=file,  # in the log; else the prefix's name
        prefix=TIED,
        additional_env=environment,
        **options,
    )


def failed(event: Any, context: LaunchContext) -> None:
    """For `on_exit`: end the launch, with status 1, because one of its processes has ended."""
    if not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} ended with status {event.returncode}: see above")


def ended(event: Any, context: LaunchContext) -> None:
    """For `on_exit`: as `failed`, unless the process has ended with status 0."""
    if event.returncode:
        failed(event, context)


def file_of(values: Values, name: str, default: str) -> str:
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
