# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: arguments, the depth node, the camera node, RViz, failures.

Imported by launch files alone: `launch` is there in a ROS workspace and not with pip.
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
"""Arguments as they were given, by name."""

YES_OR_NO = ("true", "false", "True", "False")
OPTICAL_FRAME = "camera_optical_frame"


@dataclass(frozen=True)
class Argument:
    """One launch argument.

    Attributes:
        name: as users write it before `:=`.
        default: its value where it is not given.
        description: one sentence.
        choices: what it may be; empty for anything.
    """

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


COMMON = (
    Argument("namespace", "", "namespace of all nodes and of the topics"),
    Argument(
        "params_file",
        "",
        "parameters of the depth node; not given: config/depth.yaml, the defaults",
    ),
    Argument(
        "device", "", "where the networks run: auto, cpu, cuda, cuda:N; not given: as params_file"
    ),
    Argument(
        "weights", "", "depth weights: a shipped name or a path; not given: as params_file says"
    ),
    Argument("rviz", "false", "whether RViz starts with it", YES_OR_NO),
    Argument("rviz_config", "", "RViz's scene; not given: config/depth.rviz"),
    Argument(
        "fixed_frame",
        "camera_link",
        "RViz's fixed frame, z up; camera_link is published where the camera node plays",
    ),
    Argument(
        "log_level",
        "info",
        "what the nodes write",
        ("debug", "info", "warn", "error", "fatal"),
    ),
)


def describe(
    file: str, arguments: tuple[Argument, ...], nodes: Callable[[Values], list[Any]]
) -> LaunchDescription:
    """A launch file's description.

    Args:
        file: the launch file's name.
        arguments: all that it takes.
        nodes: makes the actions of the arguments' values.
    """
    names = [argument.name for argument in arguments]

    def start(context: LaunchContext) -> list[Any]:
        _warn_of_strangers(file, names, context)
        return nodes({name: context.launch_configurations[name] for name in names})

    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices or None
        )
        for a in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _warn_of_strangers(file: str, names: list[str], context: LaunchContext) -> None:
    """`ros2 launch` takes any argument without a word, a misspelt one too."""
    # A file that includes this one has arguments of its own on the same command line.
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
        values: of the arguments in `COMMON`.
        sim_time: whether its time is /clock.
        parameters: further ones, which overrule the file's.
        options: further ones of launch_ros's Node.
    """
    # What was not given must not overrule the file.
    given = {name: values[name] for name in ("device", "weights") if values[name]}
    given |= {"use_sim_time": sim_time} | (parameters or {})
    file = _file(values, "params_file", "depth.yaml")
    return _node("depth_node", values, [file, _texts(given)], **options)


def camera_node(values: Values, parameters: dict[str, Any], **options: Any) -> Node:
    """The camera node; arguments as for `depth_node`."""
    parameters = {"frame_id": OPTICAL_FRAME} | parameters
    return _node("camera_node", values, [_texts(parameters)], **options)


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
    """RViz where it is wanted; with `camera_link` also that frame, which nobody else publishes."""
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
        # REP 103: x forward, y left, z up, to x right, y down, z forward.
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
    """For `on_exit`: nothing goes on without the process that has ended; ros2 launch returns 1."""
    if not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} ended with status {event.returncode}: see above")


def _file(values: Values, name: str, default: str) -> str:
    """An argument that is a file, or one of config/. launch would go on without a missing one."""
    given = values[name]
    if given and not Path(given).is_file():
        raise FileNotFoundError(f"{name}:={given} is not a file")
    return given or _config(default)


def _config(file: str) -> str:
    share = FindPackageShare("depth_recog").find("depth_recog")
    return str(Path(share) / "config" / file)


def _texts(parameters: dict[str, Any]) -> dict[str, Any]:
    """Texts stay texts: launch_ros would make a number of a folder named 0005."""
    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
