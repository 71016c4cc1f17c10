# SPDX-License-Identifier: Apache-2.0
"""The list of a lineage: which weights descend from which, and which of them are active.

A lineage is a folder that the trainer node and `depth-recog adapt` fill. Its list is
`lineage.json`; only weights in that list count, whatever else the folder holds. Wherever weights
are named, the folder stands for its active weights.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from depth_recog.documents import read_json
from depth_recog.errors import DocumentError, WeightsError
from depth_recog.limits import LINEAGE_ENTRIES
from depth_recog.texts import shown

LIST = "lineage.json"
BEFORE = "lineage.before.json"
"""The list as it was before the last change; read if `LIST` is damaged."""

_FORMAT = "depth_recog lineage/1"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """Weights that were accepted once.

    Attributes:
        sha256: of the file, 64 hexadecimal digits.
        parent: sha256 of the weights that they were learnt from; "" for the start.
        number: 0 for the start; counts the accepted weights of the lineage.
        step: steps of learning from the start on.
        time: when they were accepted, UTC, ISO 8601.
        why: why they were accepted.
        rolled_back: why they are not used any more; "" if nothing spoke against them.
    """

    sha256: str
    parent: str
    number: int
    step: int
    time: str
    why: str
    rolled_back: str = ""

    @property
    def name(self) -> str:
        """Stem of the file's name."""
        return f"depth-{self.sha256[:16]}"


@dataclass(frozen=True)
class Family:
    """The accepted weights of a lineage.

    Attributes:
        entries: the start, then the accepted ones in the order of time.
        active: sha256 of the weights in use.
    """

    entries: tuple[Entry, ...]
    active: str

    @property
    def start(self) -> Entry:
        """The weights with which the lineage began."""
        return self.entries[0]

    def find(self, sha256: str) -> Entry | None:
        """The entry with this hash."""
        return next((entry for entry in self.entries if entry.sha256 == sha256), None)

    @property
    def active_entry(self) -> Entry:
        """The weights in use."""
        entry = self.find(self.active)
        assert entry is not None
        return entry

    def ancestors(self, entry: Entry) -> Iterator[Entry]:
        """Parent, parent's parent and so on; the start is always the last."""
        while entry != self.start:
            entry = self.find(entry.parent) or self.start
            yield entry

    def with_accepted(self, entry: Entry) -> Family:
        """This family and a further entry, which is active."""
        return Family((*self.entries, entry), entry.sha256)

    def rolled_back(self, entry: Entry, to: Entry, why: str) -> Family:
        """The family in which `to` is active instead of `entry`."""
        marked = replace(entry, rolled_back=why)
        return Family(tuple(marked if e == entry else e for e in self.entries), to.sha256)

    def to_json(self) -> str:
        """The content of `LIST`."""
        entries = [asdict(entry) for entry in self.entries]
        content = {"format": _FORMAT, "active": self.active, "entries": entries}
        return json.dumps(content, indent=1) + "\n"


def is_lineage(folder: Path) -> bool:
    """Whether a folder holds a lineage."""
    return os.path.isfile(folder / LIST) or os.path.isfile(folder / BEFORE)


def read_family(folder: Path) -> Family:
    """Read the list of a lineage, or the one before if it is damaged.

    Raises:
        WeightsError: there is none, or both are damaged.
    """
    try:
        return read_list(folder / LIST)
    except WeightsError:
        if not (folder / BEFORE).is_file():
            raise
        return read_list(folder / BEFORE)


def read_list(file: Path) -> Family:
    """Read one file. Raises WeightsError."""
    try:
        content = read_json(file)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{file.parent}: no lineage of weights ({file.name} is missing); name the folder that "
            "the trainer node or depth-recog adapt has written"
        ) from error
    except (OSError, DocumentError) as error:
        raise WeightsError(f"{file}: cannot be read ({error})") from error
    try:
        return _checked(content)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{file}: not a list of weights ({error}); restore it, or begin a lineage in another "
            "folder"
        ) from error


def active_weights(folder: Path) -> Path:
    """The file of a lineage's active weights. Raises WeightsError."""
    entry = read_family(folder).active_entry
    path = folder / f"{entry.name}.safetensors"
    if not path.is_file():
        raise WeightsError(
            f"{path}: the active weights of the lineage are missing; restore the file, or start "
            "the trainer node on the folder, which goes back to their parent"
        )
    return path


def _checked(content: Any) -> Family:
    """Check what was read. Raises KeyError, TypeError or ValueError."""
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {shown(content['format'])}, {_FORMAT!r} is needed")
    if len(content["entries"]) > LINEAGE_ENTRIES:
        raise ValueError(f"it has more than {LINEAGE_ENTRIES} entries")
    entries = tuple(_entry(values) for values in content["entries"])
    known = [entry.sha256 for entry in entries]
    if not entries or entries[0].number or len(set(known)) != len(known):
        raise ValueError("its entries contradict each other")
    if content["active"] not in known:
        raise ValueError("its active weights are not among its entries")
    return Family(entries, content["active"])


def _entry(values: dict[str, Any]) -> Entry:
    entry = Entry(**values)
    # The hash becomes part of a path.
    if not _SHA256.fullmatch(entry.sha256) or (
        entry.parent and not _SHA256.fullmatch(entry.parent)
    ):
        raise ValueError(f"{shown(entry.sha256)} is no sha256")
    if not all(type(n) is int and n >= 0 for n in (entry.number, entry.step)):
        raise ValueError(f"{entry.sha256[:12]} has no number")
    if not all(isinstance(text, str) for text in (entry.time, entry.why, entry.rolled_back)):
        raise TypeError(f"{entry.sha256[:12]} has a wrong text")
    return entry
