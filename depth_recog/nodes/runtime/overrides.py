# SPDX-License-Identifier: Apache-2.0
"""Find parameters that were given to a node and have no effect: misspelt names, unread sections.

rcl accepts any name and any section in a parameter file, and says nothing of those that no node
reads.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_recog.documents import read_yaml
from depth_recog.errors import DocumentError

QOS = "qos_overrides."
"""rclpy declares such a parameter when the endpoint that it belongs to is created."""


def given(node: Node) -> dict[str, Parameter]:
    """The parameters from the command line and from files, declared or not.

    rclpy has no public access to them without declaring all of them, whatever their names.
    """
    overrides: dict[str, Parameter] = node._parameter_overrides
    return overrides


def warn_of_unknown(node: Node, qos: bool = False) -> None:
    """Warn of each given parameter that the node has not declared.

    Args:
        node: with all its parameters.
        qos: only QoS overrides, after all endpoints were created; else all others.
    """
    known = [name for name in node._parameters if name.startswith(QOS) == qos]
    for name in given(node):
        if name.startswith(QOS) == qos and not node.has_parameter(name):
            node.get_logger().warning(unknown("parameter", name, known, "ros2 param list"))


def unknown(kind: str, name: str, known: Iterable[str], lister: str) -> str:
    """The warning about a name that is not one of `known`."""
    near = difflib.get_close_matches(name, list(known), 1)
    advice = f"did you mean {near[0]}?" if near else f"{lister} shows the names"
    return f"{kind} {name} is unknown and has no effect: {advice}"


def warn_of_unread_files(node: Node, arguments: Sequence[str]) -> None:
    """Warn of each parameter file none of whose sections is for this node.

    Args:
        node: whose name, with its namespace, the sections are compared with.
        arguments: the command line.
    """
    name = node.get_fully_qualified_name()
    for file in _files(arguments):
        sections = sections_of(file)
        if sections and not any(matches(section, name) for section in sections):
            node.get_logger().warning(
                f"{file}: no section is for {name}, so it has no effect: it has "
                f"{', '.join(sections)}; name a section {name}, or /** for every node"
            )


def _files(arguments: Sequence[str]) -> Iterator[str]:
    for option, value in pairwise(arguments):
        if option == "--params-file":
            yield value


def sections_of(file: str) -> list[str]:
    """The full names, with wildcards, of the sections of a parameter file; [] if unreadable.

    rcl has read the file before, and has named what is wrong with it.
    """
    try:
        content = read_yaml(Path(file))
    except (OSError, DocumentError):
        return []
    return list(_sections(content, ""))


def _sections(content: Any, above: str) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    for key, below in content.items():
        if key == "ros__parameters":
            yield above or "/"
        else:
            yield from _sections(below, f"{above}/{str(key).strip('/')}")


def matches(section: str, name: str) -> bool:
    """Whether a section is for a node: `*` is one part of its name, `**` any number of them."""
    wildcards = {"*": "/[^/]+", "**": "(/[^/]+)*"}
    parts = (wildcards.get(p, "/" + re.escape(p)) for p in section.strip("/").split("/"))
    return re.fullmatch("".join(parts), name) is not None
