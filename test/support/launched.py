# SPDX-License-Identifier: Apache-2.0
"""For the files below test/ros/launch: start one of our launch files, and look at how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import launch_testing
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch_testing.actions import ReadyToTest


def launched(name: str, arguments: dict[str, str]) -> LaunchDescription:
    """Describe a test of a launch file with these arguments."""
    source = Path(__file__).parents[2] / "launch" / name
    included = IncludeLaunchDescription(str(source), launch_arguments=arguments.items())
    return LaunchDescription([included, ReadyToTest()])


def ended_in_order(processes: Any, output: Any, count: int) -> None:
    """Expect so many processes, each with exit status 0 and without a traceback."""
    launch_testing.asserts.assertExitCodes(processes)
    assert len(processes.process_names()) == count
    for name in processes.process_names():
        text = "".join(e.text.decode() for e in output[name])
        assert "Traceback" not in text, text
