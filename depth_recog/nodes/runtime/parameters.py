# SPDX-License-Identifier: Apache-2.0
"""Parameters as data: each with its default, description and range, declared and checked alike."""

from __future__ import annotations

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

from depth_recog.errors import ConfigurationError, DepthRecogError


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: as users write it.
        default: its type is the parameter's type.
        description: one sentence, with the unit.
        least: lowest value of a number.
        most: highest value of a number.
        choices: allowed values of a string.
        live: may change while the node is active; others take effect at the next configure.
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
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.least), to_value=int(self.most), step=0)
                ]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(
                        from_value=float(self.least), to_value=float(self.most), step=0.0
                    )
                ]
        return descriptor

    def problem(self, value: Any) -> str | None:
        """Why a value cannot be used; None when it can. Types and ranges are rclpy's business."""
        if self.choices and value not in self.choices:
            return f"{self.name}: {value!r} is not one of {', '.join(self.choices)}"
        return None


class Parameters:
    """Declares specs on a node and keeps their values.

    Args:
        node: where they are declared.
        specs: all of the node's parameters.
        is_active: whether the node works at present.
        check: looks at all values together before a change is taken; raises a ConfigurationError.
        changed: told which parameters were set and all values, when all else has said yes; may
            still refuse them with a DepthRecogError.

    Raises:
        ConfigurationError: a value from the command line or a file that cannot be used.
    """

    def __init__(
        self,
        node: Node,
        specs: tuple[Spec, ...],
        is_active: Callable[[], bool],
        check: Callable[[Mapping[str, Any]], None],
        changed: Callable[[frozenset[str], Mapping[str, Any]], None] = lambda names, values: None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._is_active = is_active
        self._check = check
        self._changed = changed
        self.values: dict[str, Any] = {}
        for spec in specs:
            try:
                value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                raise ConfigurationError(f"parameter {spec.name}: {error}") from error
            problem = spec.problem(value)
            if problem:
                raise ConfigurationError(f"parameter {problem}")
            self.values[spec.name] = _typed(spec, value)
        check(self.values)
        node.add_on_set_parameters_callback(self._on_set)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        proposed = dict(self.values)
        names = frozenset(change.name for change in changes) & self._specs.keys()
        for change in changes:
            spec = self._specs.get(change.name)
            if spec is None:
                continue
            problem = spec.problem(change.value)
            if problem is None and not spec.live and self._is_active():
                problem = (
                    f"{spec.name} takes effect at configure: deactivate and clean up the node first"
                )
            if problem:
                return SetParametersResult(successful=False, reason=problem)
            proposed[change.name] = _typed(spec, change.value)
        try:
            self._check(proposed)
            if names:
                self._changed(names, proposed)
        except DepthRecogError as error:
            return SetParametersResult(successful=False, reason=str(error))
        # Exchanged, never changed: other threads read it.
        self.values = proposed
        return SetParametersResult(successful=True)


def _typed(spec: Spec, value: Any) -> Any:
    """An empty list comes as None from the command line and as a byte array from rclpy."""
    return list(value or ()) if isinstance(spec.default, list) else value
