# SPDX-License-Identifier: Apache-2.0
"""Parameters: bad values are refused with a reason; good values take effect in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.nodes.runtime import overrides
from depth_recog.nodes.runtime.parameters import Parameters, Spec

SPECS = (
    Spec("gate", "image", "How to decide.", choices=("image", "all", "off")),
    Spec("threads", 0, "Threads.", 0, 256),
    Spec("nearest", 0.1, "Metres.", 0.0, 1000.0, live=True),
    Spec("farthest", 80.0, "Metres.", 0.1, 1e6, live=True),
    Spec("encoding", "32FC1", "Of the depth.", choices=("32FC1", "16UC1"), live=True),
    Spec("rectified", False, "The images are rectified."),
    Spec("names", ["car", "bus"], "What can move."),
)


def check(names: frozenset[str], values: Mapping[str, Any]) -> None:
    if values["threads"] == 99:
        raise WeightsError("threads: 99 is too many today")
    if not values["nearest"] < values["farthest"]:
        raise ConfigurationError(f"nearest {values['nearest']} must be less than farthest")


class Owner:
    """A node with parameters, and the changes that they reported to it."""

    def __init__(self, context: Context, overrides: dict[str, Any]) -> None:
        self.active = False
        self.told: list[tuple[frozenset[str], dict[str, Any]]] = []
        self.node = Node(
            "owner",
            context=context,
            start_parameter_services=False,
            enable_rosout=False,
            parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()],
        )
        self.params = Parameters(self.node, SPECS, lambda: self.active, check, self.tell)

    def tell(self, names: frozenset[str], values: Mapping[str, Any]) -> None:
        # The change was made before its effect.
        assert all(self.node.get_parameter(name).value == values[name] for name in names)
        assert self.params.values == values
        self.told.append((names, dict(values)))

    def set(self, **values: Any) -> tuple[bool, str]:
        """Set parameters atomically; return whether that succeeded, and the reason if not."""
        changes = [Parameter(name, value=value) for name, value in values.items()]
        result = self.node.set_parameters_atomically(changes)
        return result.successful, result.reason


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    yield context
    context.try_shutdown()


@pytest.fixture
def make(context: Context) -> Iterator[Any]:
    owners: list[Owner] = []

    def build(**overrides: Any) -> Owner:
        owners.append(Owner(context, overrides))
        return owners[-1]

    yield build
    for owner in owners:
        owner.node.destroy_node()


def test_defaults(make: Any) -> None:
    owner = make()
    for spec in SPECS:
        assert owner.params[spec.name] == owner.node.get_parameter(spec.name).value == spec.default


def test_overrides(make: Any) -> None:
    given = {"gate": "off", "threads": 2, "farthest": 30.0, "rectified": True, "names": ["train"]}
    assert make(**given).params.values == {"nearest": 0.1, "encoding": "32FC1"} | given


def test_an_integer_is_accepted_for_a_number_that_is_not_whole(make: Any) -> None:
    owner = make(farthest=30)
    assert (owner.params["farthest"], type(owner.params["farthest"])) == (30.0, float)
    assert owner.set(nearest=2) == (True, "")
    assert owner.node.get_parameter("nearest").type_ == Parameter.Type.DOUBLE
    # The range holds, a whole number stays whole, and a switch is no number.
    assert not owner.set(nearest=1001)[0]
    assert not owner.set(nearest=True)[0]
    assert not owner.set(threads=2.0)[0]
    with pytest.raises(ConfigurationError, match="farthest"):
        make(farthest=2_000_000)


SECTIONS = {
    "all nodes": ("/**: {ros__parameters: {a: 1}}", True),
    "full name": ("/left/depth_node: {ros__parameters: {a: 1}}", True),
    "nested": ("left: {depth_node: {ros__parameters: {a: 1}}}", True),
    "one of several": ("/map: {ros__parameters: {}}\n/left/*: {ros__parameters: {}}", True),
    "any namespace": ("/**/depth_node: {ros__parameters: {a: 1}}", True),
    "without the namespace": ("depth_node: {ros__parameters: {a: 1}}", False),
    "misspelt": ("/left/dept_node: {ros__parameters: {a: 1}}", False),
    "other level": ("/*: {ros__parameters: {a: 1}}", False),
    "like a pattern": ("/left/depth.node: {ros__parameters: {a: 1}}", False),
}


@pytest.mark.parametrize("case", SECTIONS)
def test_a_file_without_a_section_for_the_node_is_found(case: str, tmp_path: Path) -> None:
    text, found = SECTIONS[case]
    file = tmp_path / "my.yaml"
    file.write_text(text)
    sections = overrides.sections_of(str(file))
    assert any(overrides.matches(section, "/left/depth_node") for section in sections) == found


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"gate": "sometimes"}, "gate: 'sometimes' is not one of image, all, off"),
        ({"threads": -1}, "threads"),
        ({"threads": 257}, "threads"),
        ({"threads": 1.5}, "threads"),
        ({"threads": "two"}, "threads"),
        ({"nearest": -0.5}, "nearest"),
        ({"nearest": float("nan")}, "nearest"),
        ({"farthest": float("inf")}, "farthest"),
        ({"nearest": 90.0}, "nearest 90.0 must be less"),
        ({"rectified": "yes"}, "rectified"),
        ({"names": "car"}, "names"),
        ({"encoding": "mono8"}, "encoding: 'mono8' is not one of 32FC1, 16UC1"),
    ],
)
def test_bad_override_is_a_configuration_error(
    make: Any, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(**overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ranges_and_descriptions_are_published(make: Any) -> None:
    node = make().node
    threads = node.describe_parameter("threads")
    assert (threads.integer_range[0].from_value, threads.integer_range[0].to_value) == (0, 256)
    nearest = node.describe_parameter("nearest")
    assert nearest.floating_point_range[0].to_value == 1000.0
    assert "Takes effect at configure" not in nearest.description
    gate = node.describe_parameter("gate")
    assert "One of: image, all, off." in gate.description
    assert "Takes effect at configure" in gate.description


def test_a_live_parameter_changes_while_active(make: Any) -> None:
    owner = make()
    owner.active = True
    assert owner.set(farthest=40.0) == (True, "")
    assert owner.params["farthest"] == 40.0
    names, values = owner.told[-1]
    assert names == {"farthest"}
    assert values["farthest"] == 40.0


def test_another_parameter_changes_only_while_inactive(make: Any) -> None:
    owner = make()
    owner.active = True
    taken, reason = owner.set(gate="off")
    assert not taken
    assert "gate takes effect at configure: deactivate" in reason
    assert owner.params["gate"] == owner.node.get_parameter("gate").value == "image"
    owner.active = False
    assert owner.set(gate="off") == (True, "")
    assert owner.params["gate"] == "off"
    assert [names for names, _ in owner.told] == [{"gate"}]


def test_a_change_that_the_owner_refuses_has_no_effect(make: Any) -> None:
    owner = make()
    assert owner.set(threads=99) == (False, "threads: 99 is too many today")
    assert owner.told == []
    assert owner.params["threads"] == owner.node.get_parameter("threads").value == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("encoding", "64FC1", "encoding: '64FC1' is not one of 32FC1, 16UC1"),
        ("farthest", -1.0, "farthest"),
        ("farthest", float("nan"), "farthest"),
        ("farthest", "far", "expected 'Type.DOUBLE' got 'Type.STRING'"),
        ("nearest", 100.0, "nearest 100.0 must be less than farthest"),
    ],
)
def test_a_bad_change_is_refused_with_the_reason(
    make: Any, name: str, value: Any, words: str
) -> None:
    owner = make()
    owner.active = True
    taken, reason = owner.set(**{name: value})
    assert not taken
    assert words in reason
    default = next(s.default for s in SPECS if s.name == name)
    assert owner.params[name] == owner.node.get_parameter(name).value == default
    assert owner.told == []


def test_all_or_nothing(make: Any) -> None:
    owner = make()
    taken, _ = owner.set(farthest=50.0, encoding="banana")
    assert not taken
    assert owner.params["farthest"] == owner.node.get_parameter("farthest").value == 80.0
    # Each change alone would be refused.
    assert owner.set(nearest=100.0, farthest=200.0) == (True, "")
    assert (owner.params["nearest"], owner.params["farthest"]) == (100.0, 200.0)


def test_parameters_of_others_are_left_alone(make: Any) -> None:
    owner = make()
    owner.node.declare_parameter("somebody_elses", 1)
    owner.active = True
    assert owner.set(somebody_elses=2) == (True, "")
    assert owner.told == []


def test_lists_stay_lists(make: Any) -> None:
    owner = make()
    assert owner.set(names=["person"]) == (True, "")
    assert owner.params["names"] == ["person"]
    assert isinstance(make().params["names"], list)


def test_shipped_specs_are_sound() -> None:
    """Every default is valid, and `ros2 param describe` shows a sentence."""
    from depth_recog.nodes import camera_node, depth_node

    for specs in (depth_node.SPECS, camera_node.SPECS):
        names = [spec.name for spec in specs]
        assert len(set(names)) == len(names)
        for spec in specs:
            spec.check(spec.default)
            assert spec.description.endswith(".")
            if spec.least is not None:
                assert spec.least <= spec.default <= spec.most
