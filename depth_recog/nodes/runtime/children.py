# SPDX-License-Identifier: Apache-2.0
"""Start the project's nodes as child processes, and end them as ros2 launch does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FASTDDS_PROFILE = Path(__file__).with_name("fastdds.xml")
"""Fast DDS profile with a shared-memory segment that is large enough for images."""
# Fast DDS 2 (Jazzy) reads the first variable, Fast DDS 3 (Kilted) the second.
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def fastdds_environment() -> dict[str, str]:
    """Variables that make a node use `FASTDDS_PROFILE`; none if the user has set a profile."""
    if any(os.environ.get(name) for name in _PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(_PROFILE_VARIABLES, str(FASTDDS_PROFILE))


def node_command(executable: str, namespace: str, parameters: dict[str, Any]) -> list[str]:
    """The command line of `depth_node` or `camera_node`; needs no installed script."""
    code = f"import sys; from depth_recog.nodes.process import {executable} as m; sys.exit(m())"
    command = [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:=/{namespace}"]
    for name, value in parameters.items():
        # rcl parses the value as YAML. JSON is YAML, and quotes every string.
        command += ["-p", f"{name}:={json.dumps(value, default=str)}"]
    return command


def start(executable: str, namespace: str, parameters: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a node in a session of its own: Ctrl-C in the terminal reaches only its parent."""
    return subprocess.Popen(
        node_command(executable, namespace, parameters),
        start_new_session=True,
        env={**os.environ, **fastdds_environment()},
    )


def end(process: subprocess.Popen[bytes], patience: float = 8.0) -> int:
    """Send SIGINT, and SIGKILL after `patience` seconds; returns the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
