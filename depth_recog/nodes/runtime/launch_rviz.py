# SPDX-License-Identifier: Apache-2.0
"""RViz, and the frame that it needs, for the launch files."""

from __future__ import annotations

from typing import Any

from launch_ros.actions import Node

from depth_recog.nodes.runtime import launching


def rviz(
    values: launching.Values, sim_time: bool, camera_link: bool, remappings: list[tuple[str, str]]
) -> list[Node]:
    """RViz, if the user wants it; with `camera_link`, also a publisher of that frame."""
    if not launching.yes(values["rviz"]):
        return []
    scene = launching.file_of(values, "rviz_config", "depth.rviz")
    prefix = values["frame_prefix"]
    link = f"{prefix}camera_link"
    shared: dict[str, Any] = {
        "namespace": values["namespace"],
        "parameters": [{"use_sim_time": sim_time}],
    }
    install = "install ros-$ROS_DISTRO-{}, or leave rviz:=true out"
    nodes = [
        launching.executable(
            "rviz2",
            "rviz2",
            install.format("rviz2"),
            arguments=["-d", scene, "-f", values["fixed_frame"] or link],
            remappings=remappings,
            **shared,
        )
    ]
    if camera_link:
        # REP 103: from x forward, y left, z up to x right, y down, z forward.
        pose = ["--roll", "-1.5707963267948966", "--yaw", "-1.5707963267948966"]
        optical = prefix + values["frame_id"]
        frames = ["--frame-id", link, "--child-frame-id", optical]
        nodes.append(
            launching.executable(
                "tf2_ros",
                "static_transform_publisher",
                install.format("tf2-ros"),
                name="camera_link_publisher",
                arguments=pose + frames,
                **shared,
            )
        )
    return nodes
