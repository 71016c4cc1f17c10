# SPDX-License-Identifier: Apache-2.0
"""The nodes with all that parameters add to their topics and services."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import policies
import ros_processes as rp
from robot import PARAMETERS, Robot

NAMESPACE = "policy"
_SOURCE = "synthetic:street?width=96&height=64&frames=3"
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "depth_node": (
        PARAMETERS | {"use_sim_time": True, "scale": "odometry", "publish_odom": True},
        PARAMETERS | {"image_transport": "compressed", "depth_scale": 1.0, "publish_odom": True},
    ),
    "camera_node": (
        {"source": _SOURCE, "loop": True, "publish_clock": True, "use_sim_time": True},
    ),
    "trainer_node": ({"use_sim_time": True, "device": "cpu", "nice": 0},),
}


def used(name: str, expected: Callable[[policies.Used], bool], **more: Any) -> policies.Used:
    """Run a node in all its variants; return what it uses.

    Args:
        name: of the node.
        expected: whether what it uses is complete; polled, because DDS reports it bit by bit.
        more: further parameters.
    """
    processes = [
        _start(name, f"{NAMESPACE}{number}", values | more)
        for number, values in enumerate(VARIANTS[name])
    ]
    peer = Robot("policy", processes[0])
    found: policies.Used = {}
    try:
        for number in range(len(processes)):
            service = f"/{NAMESPACE}{number}/{name}/get_state"
            peer.wait(lambda wanted=service: _is_active(peer, wanted), f"{service}: active")

        def complete() -> bool:
            nonlocal found
            found = policies.merged(
                *(
                    policies.used_by(peer.node, name, f"{NAMESPACE}{number}")
                    for number in range(len(processes))
                )
            )
            return expected(found)

        # Without it the caller sees the difference.
        with contextlib.suppress(AssertionError):
            peer.wait(complete, "all endpoints", 30)
        return found
    finally:
        peer.close()
        for process in processes:
            process.kill()


def _start(name: str, namespace: str, values: dict[str, Any]) -> rp.Process:
    if name != "trainer_node":
        return rp.start_node(name, namespace, values, forked=True)
    command = rp.node_command(name, namespace, values)
    # The real adapter loads networks for ten seconds, and has no topics of its own.
    command[2] = "import sys, fake_adapter; sys.exit(fake_adapter.main())"
    return rp.Process(command, rp.TRAINING)


def _is_active(peer: Robot, service: str) -> bool:
    from lifecycle_msgs.srv import GetState

    answer = peer.call(service, GetState, GetState.Request(), harmless=True)
    return bool(answer.current_state.label == "active")
