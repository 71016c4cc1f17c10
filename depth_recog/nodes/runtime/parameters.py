# SPDX-License-Identifier: Apache-2.0
"""Declare ROS parameters from a table, check every change, and tell the node about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_recog.errors import ConfigurationError, describe
from depth_recog.nodes.runtime import overrides
from depth_recog.texts import shown

Names = frozenset[str]
Values = Mapping[str, Any]
"""The values of all parameters, by name."""

_LONGEST_TEXT = 16384
"""Characters of a text, or of a list of texts: longer than any path."""


@dataclass(frozen=True)
class Spec:
    """The declaration of one parameter.

    Attributes:
        default: the value if the user sets none; its type is the parameter's type.
        description: one sentence, with the unit.
        least, most: smallest and largest allowed value of a number; both or none.
        choices: allowed values of a string.
        live: whether it may change while the node is active; others take effect at configure.
    """

    name: str
    default: Any
    description: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows."""
        text = self.description
        if self.choices:
            text += f" One of: {', '.join(self.choices)}."
        if not self.live:
            text += " Takes effect at configure."
        descriptor = ParameterDescriptor(description=text)
        if self.least is not None and self.most is not None:
            number = type(self.default)
            bounds = {"from_value": number(self.least), "to_value": number(self.most)}
            if number is int:
                descriptor.integer_range = [IntegerRange(**bounds)]
            else:
                descriptor.floating_point_range = [FloatingPointRange(**bounds)]
        return descriptor

    def check(self, value: Any) -> None:
        """Raise ConfigurationError for a value that is not allowed.

        rclpy itself checks types and ranges; NaN passes its ranges.
        """
        if self.choices and value not in self.choices:
            text = f"{shown(value)} is not one of {', '.join(self.choices)}"
            raise ConfigurationError(f"parameter {self.name}: {text}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(
                f"parameter {self.name}: {value} is no number: set a finite one"
            )
        if isinstance(self.default, list | str):
            length = sum(map(len, value)) if isinstance(self.default, list) else len(value)
            if length > _LONGEST_TEXT:
                raise ConfigurationError(
                    f"parameter {self.name}: {length} characters; at most {_LONGEST_TEXT} are taken"
                )


class Parameters:
    """Declares parameters on a node and holds their values.

    A change is checked before it is made and has its effect after it was made: `check` only reads,
    `changed` acts.

    Args:
        node: on which the parameters are declared.
        specs: all of the node's parameters.
        is_active: whether the node is active now.
        check: called with the names that would change and all values; raises a DepthRecogError to
            refuse the change, and has no effect of its own.
        changed: called with the same arguments after the change was made.

    Raises:
        ConfigurationError: a value from the command line or a file is not allowed.
    """

    def __init__(
        self,
        node: Node,
        specs: tuple[Spec, ...],
        is_active: Callable[[], bool],
        check: Callable[[Names, Values], None],
        changed: Callable[[Names, Values], None] = lambda names, values: None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._is_active = is_active
        self._check = check
        self._changed = changed
        self.values: dict[str, Any] = {}
        given = overrides.given(node)
        for spec in specs:
            if spec.name in given:
                given[spec.name] = self._as_declared(given[spec.name])
            try:
                value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                raise ConfigurationError(f"parameter {spec.name}: {error}") from error
            self.values[spec.name] = _typed(spec, value)
            spec.check(self.values[spec.name])
        check(frozenset(self._specs), self.values)
        overrides.warn_of_unknown(node)
        node.add_pre_set_parameters_callback(
            lambda changes: [self._as_declared(change) for change in changes]
        )
        node.add_on_set_parameters_callback(self._before_set)
        node.add_post_set_parameters_callback(self._after_set)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def _as_declared(self, change: Parameter) -> Parameter:
        """An integer as a floating-point number where one is declared: people write 80 for 80.0."""
        spec = self._specs.get(change.name)
        whole = change.type_ == Parameter.Type.INTEGER
        if whole and spec is not None and isinstance(spec.default, float):
            return Parameter(change.name, value=float(change.value))
        return change

    def _before_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Accept or refuse; rclpy sends the reason to the caller. No effect of its own."""
        try:
            if not all(change.name for change in changes):
                raise ConfigurationError("a parameter has no name")  # rclpy would add it
            names, values = self._with(changes)
            for name in (change.name for change in changes if change.name in names):
                self._specs[name].check(values[name])
                if not self._specs[name].live and self._is_active():
                    raise ConfigurationError(
                        f"{name} takes effect at configure: deactivate and clean up the node first"
                    )
            if names:
                self._check(names, values)
        except Exception as error:
            return SetParametersResult(successful=False, reason=describe(error))
        return SetParametersResult(successful=True)

    def _after_set(self, changes: list[Parameter]) -> None:
        names, values = self._with(changes)
        if names:
            # A new dict: other threads may be reading the old one.
            self.values = values
            self._changed(names, values)

    def _with(self, changes: list[Parameter]) -> tuple[Names, dict[str, Any]]:
        """The names of our parameters among the changes, and all values with them."""
        known = [change for change in changes if change.name in self._specs]
        ours = {change.name: _typed(self._specs[change.name], change.value) for change in known}
        return frozenset(ours), self.values | ours


def _typed(spec: Spec, value: Any) -> Any:
    """An empty list is None on the command line, and a byte array in rclpy."""
    return list(value or ()) if isinstance(spec.default, list) else value
