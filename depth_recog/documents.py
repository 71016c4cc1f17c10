# SPDX-License-Identifier: Apache-2.0
"""YAML and JSON from anywhere: plain values only, of limited size, depth and number.

YAML is read without aliases and merges, with which a few bytes become gigabytes, and without times:
2011-09-26 stays a text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import yaml

from depth_recog.errors import DocumentError
from depth_recog.files import read_text
from depth_recog.limits import DEPTH, DIGITS, DOCUMENT_BYTES, JSON_BYTES, VALUES
from depth_recog.texts import plain

# libyaml is several times faster; a PyYAML without it reads the same.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_READ = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge")
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class _Loader(_Base):  # type: ignore[misc]
    """Plain values, and OpenCV's matrices as mappings."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_READ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _integer(loader: Any, node: Any) -> int:
    if len(node.value) > DIGITS:
        raise DocumentError(f"a number of {len(node.value)} digits")
    return int(loader.construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node)
)
_Loader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix",
    lambda loader, node: loader.construct_mapping(node, deep=True),
)


class _Dumper(yaml.SafeDumper):
    """Writes a list that occurs twice as two lists: aliases are not read back."""

    def ignore_aliases(self, data: Any) -> bool:
        """See `yaml.SafeDumper`."""
        return True


def yaml_text(values: Any, **style: Any) -> str:
    """YAML that `parse_yaml` reads; `style` as for `yaml.dump`."""
    return cast(str, yaml.dump(values, Dumper=_Dumper, allow_unicode=True, **style))


def parse_yaml(text: str, most: int = DOCUMENT_BYTES) -> Any:
    """Read the only document of a YAML text.

    Args:
        text: the YAML.
        most: characters.

    Raises:
        DocumentError: it is no YAML, has aliases, or is too large or too deep.
    """
    if len(text) > most:
        raise DocumentError(f"it has {len(text)} characters, more than {most}")
    try:
        _check_events(text)
        return yaml.load(text, _Loader)
    except DocumentError:
        raise
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(f"{plain(str(error.problem), 200)}{at}") from error
    except Exception as error:  # PyYAML's constructors raise many types
        raise DocumentError(plain(" ".join(str(error).split()), 200)) from error


def _check_events(text: str) -> None:
    """Before anything is built of them."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, _Base)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise DocumentError(f"line {line} has an anchor or an alias (& or *)")
        if isinstance(event, _OPENING):
            depth += 1
        elif isinstance(event, _CLOSING):
            depth -= 1
        if depth > DEPTH:
            raise DocumentError(f"it is nested more than {DEPTH} levels deep")
        if count > VALUES:
            raise DocumentError(f"it has more than {VALUES} values")


def read_yaml(path: Path, most: int = DOCUMENT_BYTES) -> Any:
    """Read a YAML file. Raises OSError and DocumentError."""
    return parse_yaml(_decoded(path, most), most)


def parse_json(text: str, most: int = JSON_BYTES) -> Any:
    """Read a JSON text.

    Args:
        text: the JSON.
        most: characters.

    Raises:
        DocumentError: it is no JSON, or is too large or too deep.
    """
    if len(text) > most:
        raise DocumentError(f"it has {len(text)} characters, more than {most}")
    try:
        content = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise DocumentError(f"it is nested more than {DEPTH} levels deep") from error
    except ValueError as error:
        raise DocumentError(f"no JSON: {plain(str(error), 200)}") from error
    _check_depth(content)
    return content


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """Read a JSON file. Raises OSError and DocumentError."""
    return parse_json(_decoded(path, most), most)


def _decoded(path: Path, most: int) -> str:
    try:
        return read_text(path, most)
    except ValueError as error:
        raise DocumentError("it is not in UTF-8") from error


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise DocumentError(f"it is nested more than {DEPTH} levels deep")
