# SPDX-License-Identifier: Apache-2.0
"""Starts the project's nodes as processes, and ends them as launch would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FASTDDS_PROFILE = Path(__file__).with_name("fastdds.xml")
"""A shared-memory segment that holds images; see the file."""
# Fast DDS 2 (Jazzy) reads the first, Fast DDS 3 (Kilted) the second.
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def fastdds_environment() -> dict[str, str]:
    """What makes a node use `FASTDDS_PROFILE`; nothing where the user has a profile."""
    if any(os.environ.get(name) for name in _PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(_PROFILE_VARIABLES, str(FASTDDS_PROFILE))


def node_command(executable: str, namespace: str, parameters: dict[str, Any]) -> list[str]:
    """The command line of `depth_node` or `camera_node`, wherever the scripts were installed."""
    code = f"import sys; from depth_recog.nodes.process import {executable} as m; sys.exit(m())"
    command = [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:=/{namespace}"]
    for name, value in parameters.items():
        # JSON is YAML, which rcl reads: strings come through whatever is in them.
        command += ["-p", f"{name}:={json.dumps(value, default=str)}"]
    return command


def start(executable: str, namespace: str, parameters: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a node; it does not see the terminal's Ctrl-C, its parent passes that on."""
    return subprocess.Popen(
        node_command(executable, namespace, parameters),
        start_new_session=True,
        env={**os.environ, **fastdds_environment()},
    )


def end(process: subprocess.Popen[bytes], patience: float = 8.0) -> int:
    """SIGINT, and SIGKILL for one that does not listen; returns the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
