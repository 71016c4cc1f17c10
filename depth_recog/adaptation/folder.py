# SPDX-License-Identifier: Apache-2.0
"""The files of a lineage: written whole, checked by their hash, set aside if nobody knows them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from depth_recog.errors import OutputError, WeightsError
from depth_recog.files import beside, create, user_path, write_whole
from depth_recog.networks.family import BEFORE, LIST, Entry, Family
from depth_recog.networks.own.files import save_network
from depth_recog.networks.weights import Header, file_sha256, read_card
from depth_recog.training.result import card

_ASIDE = 8
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_OURS = re.compile(r"depth-[0-9a-f]{16}\.safetensors")
_TEXT = "Depth from one image, along the optical axis. Learnt on the road from live images."


class LineageFolder:
    """One folder of weights, held by one process at a time.

    Args:
        path: is made if it does not exist.

    Raises:
        OutputError: the folder cannot be written, or another process uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = user_path(path).absolute()
        self.problems: list[str] = []
        """What was wrong with the folder, and what was done about it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", _LOCK, 0o666)
            # Also where the file exists already, the folder must take new ones.
            probe = beside(self.path / "probe")
            os.close(create(probe))
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror}); name another folder for the "
                "learnt weights"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise OutputError(
                f"{self.path}: another process learns in this folder; name another one, or end "
                "that process"
            ) from error

    def close(self) -> None:
        """Let other processes use the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def candidate(self) -> Path:
        """Where new weights are written before their hash is known."""
        return self.path / "candidate"

    def weights(self, entry: Entry) -> Path:
        """The weights file of an entry."""
        return self.path / f"{entry.name}.safetensors"

    def card(self, entry: Entry) -> Path:
        """The card of an entry."""
        return self.path / f"{entry.name}.md"

    def intact(self, entry: Entry) -> bool:
        """Whether the weights of an entry are there and have its hash."""
        try:
            return file_sha256(self.weights(entry)) == entry.sha256
        except WeightsError:
            return False

    def copy_start(self, entry: Entry, header: Header) -> None:
        """Copy the start, so that the folder does not depend on a file that may change."""
        write_whole(self.weights(entry), lambda path: path.write_bytes(header.content))
        own = header.path.with_suffix(".md")
        if own.is_file():
            text = own.read_bytes()
            write_whole(self.card(entry), lambda path: path.write_bytes(text))

    def write_list(self, family: Family) -> None:
        """Write the list, and keep the one before. Raises OutputError."""
        current = self.path / LIST
        if current.is_file():
            text = current.read_bytes()
            write_whole(self.path / BEFORE, lambda path: path.write_bytes(text))
        write_whole(current, lambda path: path.write_text(family.to_json(), encoding="utf-8"))

    def write_card(self, entry: Entry, start: Entry, facts: Mapping[str, Any]) -> None:
        """Write the card of an entry; its licence is that of the start. Raises OutputError."""
        inherited: dict[str, Any] = {}
        with contextlib.suppress(WeightsError):
            inherited = read_card(self.card(start))
        content = {
            "network": "depth",
            "licence": inherited.get("licence", "not stated by the start"),
            "train_files": "not known: learnt from live images",
            "number": entry.number,
            "parent": entry.parent,
            "accepted": entry.time,
            "why": entry.why,
            "step": entry.step,
            **facts,
        }
        text = card(self.weights(entry), content, _TEXT, entry.sha256)
        write_whole(self.card(entry), lambda partial: partial.write_text(text, "utf-8"))

    def mend_card(self, entry: Entry, start: Entry) -> None:
        """Write a card again that is lost or damaged: readers refuse weights with a wrong one."""
        path = self.card(entry)
        with contextlib.suppress(WeightsError):
            if str(read_card(path).get("sha256", "")) == entry.sha256:
                return
        if path.exists() or entry.number:
            self.problems.append(f"{path.name} was lost or damaged: written again")
            self.write_card(entry, start, {})

    def clean(self, family: Family) -> None:
        """Remove unfinished files, and set aside weights that the list does not name."""
        for left in (*self.path.glob("*.partial"), self.candidate):
            left.unlink(missing_ok=True)
        listed = {self.weights(entry).name for entry in family.entries}
        for path in sorted(self.path.glob("depth-*.safetensors")):
            if _OURS.fullmatch(path.name) and path.name not in listed:
                self.set_aside(path)

    def set_aside(self, path: Path) -> None:
        """Move a file, and its card, to where nobody uses it; the oldest there are deleted."""
        aside = self.path / "aside"
        aside.mkdir(exist_ok=True)
        for file in (path, path.with_suffix(".md")):
            if file.exists():
                file.replace(aside / file.name)
                self.problems.append(f"{file.name} is damaged or foreign: moved to {aside}")
        for file in sorted(aside.iterdir(), key=lambda f: f.stat().st_mtime)[: -2 * _ASIDE]:
            file.unlink()

    def forget(self, entry: Entry) -> None:
        """Delete the files of an entry, and an unfinished one, if that is possible."""
        for path in (self.candidate, self.weights(entry), self.card(entry)):
            with contextlib.suppress(OSError):
                path.unlink()


def save_like(network: nn.Module, header: Header, path: Path) -> None:
    """Write a network of the same architecture, size and unit as another file's."""
    save_network(network, path, "depth", header.architecture, header.size, header.unit)
