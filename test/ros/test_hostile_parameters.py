# SPDX-License-Identifier: Apache-2.0
"""Service calls that no honest client sends: each gets an answer, and the nodes go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import numpy as np
import ros_messages
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter as Made
from robot import DEPTH, NODE, PARAMETERS, Robot, other_weights
from rosgraph_msgs.msg import Clock
from safetensors import safe_open
from safetensors.numpy import save_file

pytestmark = pytest.mark.ros

LONGEST = 4010
NAN, INF = float("nan"), float("inf")
TEXTS = ("~x/y", "x" * 300, "x/" * 5000, "a\0b", "\x1b[2J", "/", ".", "~", "http://[::1", "é" * 400)
FILES = ("weights", "mask_weights", "gate_weights", "pose_weights")
NUMBERS = {
    "depth_scale": (NAN, INF, -INF, -1.0, 1e308),
    "min_depth": (NAN, -1e-9),
    "max_uncertainty": (NAN, -1.0, 11.0),
    "gate_threshold": (NAN, 0.0, -0.0),
    "width": (-1, 2**63 - 1, -(2**63)),
    "mask_margin": (51,),
    "image_timeout": (NAN,),
}
OTHERS: dict[str, tuple[Any, ...]] = {
    "gate": ("", "x" * 5_000_000),
    "dynamic_classes": (["x" * 300] * 100, [1, 2], [True], [0.5], [b"a"], ["car"] * 10_000),
    "threads": (4,),
    "use_sim_time": ("yes", 1),
    "no_such_parameter": (1,),
    "": ("",),
    "x" * 100_000: (1,),
    f"qos_overrides./fire/{DEPTH}.publisher.depth": (0, "many"),
}


def value_of(value: Any) -> ParameterValue:
    return Made("x", value=value).to_parameter_msg().value


def cases() -> dict[str, Parameter]:
    """Return parameters that must be refused."""
    found = [(name, text) for name in FILES for text in TEXTS]
    found += [(name, value) for name, values in NUMBERS.items() for value in values]
    found += [(name, value) for name, values in OTHERS.items() for value in values]
    made = {
        f"{number} {name[:30]} {repr(value)[:20]}": Parameter(name=name, value=value_of(value))
        for number, (name, value) in enumerate(found)
    }
    for kind in (*range(10), 99, 255):
        if kind not in (ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_INTEGER):
            made[f"type {kind}"] = Parameter(name="min_depth", value=ParameterValue(type=kind))
        if kind != ParameterType.PARAMETER_STRING:
            made[f"gate of type {kind}"] = Parameter(name="gate", value=ParameterValue(type=kind))
    return made


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    process = rp.start_node(NODE, "fire", PARAMETERS, forked=True)
    peer = Robot("fire", process)
    try:
        peer.begin()
        yield peer
        process.end()
    finally:
        peer.close()
        process.kill()


@pytest.fixture(autouse=True)
def serves(robot: Robot) -> Iterator[None]:
    """After each test the node gives depth."""
    yield
    robot.depth_of(robot.image())
    robot.process.assert_alive()


def set_all(robot: Robot, node: str, parameters: list[Parameter]) -> list[Any]:
    request = SetParameters.Request(parameters=parameters)
    answer = robot.call(f"{node}/set_parameters", SetParameters, request, harmless=True)
    assert len(answer.results) == len(parameters)
    return list(answer.results)


def test_each_hostile_parameter_is_refused_with_a_reason(robot: Robot) -> None:
    made = cases()
    assert len(made) > 80
    # In one call: one that fails must not cost the others their answer.
    for name, result in zip(made, set_all(robot, NODE, list(made.values())), strict=True):
        assert not result.successful, name
        assert 0 < len(result.reason) <= LONGEST, name
        assert result.reason.isprintable(), name


@pytest.mark.parametrize("name", ["weights of ~x", "type 99", "surrogates"])
def test_what_ended_the_node_is_refused(robot: Robot, name: str, tmp_path: Path) -> None:
    values = {
        "weights of ~x": Parameter(name="weights", value=value_of("~x/y")),
        "type 99": Parameter(name="weights", value=ParameterValue(type=99)),
        "surrogates": Parameter(name="weights", value=value_of(str(odd_header(tmp_path)))),
    }
    request = SetParametersAtomically.Request(parameters=[values[name]])
    answer = robot.call(
        f"{NODE}/set_parameters_atomically", SetParametersAtomically, request, harmless=True
    )
    assert not answer.result.successful
    assert answer.result.reason


def odd_header(folder: Path) -> Path:
    """Save weights whose header holds half of a surrogate pair, which ROS cannot send."""
    header = json.dumps({"__metadata__": {"network": "\ud800", "architecture": "\ud800"}}).encode()
    path = folder / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def test_weights_that_are_not_finite_do_not_become_active(robot: Robot, tmp_path: Path) -> None:
    path = other_weights(tmp_path / "nan.safetensors")
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    next(iter(tensors.values())).flat[0] = NAN
    save_file(tensors, path, metadata)
    before = ros_messages.array_of(robot.depth_of(robot.image()))
    robot.set_parameters(NODE, weights=str(path))
    robot.process.wait_for_line("nan.safetensors.*not finite.*previous networks stay")
    after = ros_messages.array_of(robot.depth_of(robot.image()))
    assert np.array_equal(before, after, equal_nan=True)
    assert robot.set_parameters(NODE, weights="") == (True, "")


def test_a_sane_parameter_among_hostile_ones_is_set(robot: Robot) -> None:
    odd = Parameter(name="min_depth", value=ParameterValue(type=99))
    sane = Parameter(name="max_depth", value=value_of(70.0))
    results = set_all(robot, NODE, [odd, sane, odd])
    assert [result.successful for result in results] == [False, True, False]
    assert robot.set_parameters(NODE, max_depth=80.0) == (True, "")


def test_hostile_calls_of_the_other_services(robot: Robot) -> None:
    many = [Parameter(name="max_depth", value=value_of(50.0))] * 20_000
    results = set_all(robot, NODE, many)
    assert not any(result.successful for result in results)
    assert "20000 parameters in one call" in results[-1].reason
    request = SetParametersAtomically.Request(parameters=many)
    name = f"{NODE}/set_parameters_atomically"
    answer = robot.call(name, SetParametersAtomically, request, harmless=True)
    assert not answer.result.successful
    for kind, service in (
        (GetParameters, "get_parameters"),
        (DescribeParameters, "describe_parameters"),
    ):
        for names in ([], [""], ["x" * 1_000_000], ["a\0b"], ["max_depth"] * 20_000):
            robot.call(f"{NODE}/{service}", kind, kind.Request(names=names), harmless=True)
    for prefixes in (["x" * 1_000_000], [""] * 20_000, ["qos_overrides"]):
        request = ListParameters.Request(prefixes=prefixes, depth=2**64 - 1)
        robot.call(f"{NODE}/list_parameters", ListParameters, request, harmless=True)


def test_a_negative_clock_is_an_error_in_the_diagnostics(robot: Robot) -> None:
    clock = robot.node.create_publisher(Clock, "/clock", 10)
    assert robot.set_parameters(NODE, use_sim_time=True) == (True, "")
    message = Clock()
    message.clock.sec = -5
    try:
        robot.repeat(
            lambda: clock.publish(message),
            lambda: "subscription to /clock" in robot.statuses["callbacks"].message,
            "an error",
        )
        assert robot.statuses["callbacks"].level == DiagnosticStatus.ERROR
        assert int(robot.diagnostics["callback failures"]) > 0
        for stamp in (2**31 - 1, 0, 10**9, 5):
            message.clock.sec = stamp
            message.clock.nanosec = 2**32 - 1
            clock.publish(message)
            robot.depth_of(robot.image())
    finally:
        assert robot.set_parameters(NODE, use_sim_time=False) == (True, "")
        robot.node.destroy_publisher(clock)


def test_the_camera_node_too() -> None:
    source = {"source": "synthetic:street?width=96&height=64&frames=3", "loop": True, "rate": 5.0}
    process = rp.start_node("camera_node", "aim", source, forked=True)
    peer = Robot("aim", process)
    try:
        odd = [
            Parameter(name="source", value=value_of("x" * 5_000_000)),
            Parameter(name="rate", value=value_of(NAN)),
            Parameter(name="rate", value=ParameterValue(type=99)),
            Parameter(name="use_sim_time", value=value_of("no")),
        ]
        assert not any(result.successful for result in set_all(peer, "camera_node", odd))
        assert peer.set_parameters("camera_node", use_sim_time=True) == (True, "")
        clock = peer.node.create_publisher(Clock, "/clock", 10)
        message = Clock()
        message.clock.sec = -5

        def failed() -> bool:
            status = peer.camera_statuses.get("callbacks")
            return status is not None and status.level == DiagnosticStatus.ERROR

        peer.repeat(lambda: clock.publish(message), failed, "an error of the camera node")
        process.end()
    finally:
        peer.close()
        process.kill()
