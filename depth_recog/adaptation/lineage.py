# SPDX-License-Identifier: Apache-2.0
"""The accepted weights of one learner, as files in one folder.

    depth-HASH.safetensors   weights, named by the first 16 digits of their sha256; the start is one
    depth-HASH.md            their card: parent, why they were accepted, licence of the start
    lineage.json             which weights descend from which, and which are active
    lineage.before.json      the same before the last change
    aside/                   damaged and foreign weights that were found here; never used
    lock                     held by the process that learns

Every file is written whole. New weights count from the moment when `lineage.json` names them, so a
process that is killed before has lost only these; one that is killed later has lost nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depth_recog.errors import ConfigurationError, OutputError, TrainingError, WeightsError
from depth_recog.files import write_whole
from depth_recog.networks.family import BEFORE, LIST, Entry, Family, is_lineage, read_list
from depth_recog.networks.weights import (
    Header,
    file_sha256,
    header_of,
    read_card,
    read_header,
    save_network,
)
from depth_recog.training.result import card

KEPT = 8
"""Weights files on the disk: the start, the active ones, their parent, and the newest others."""
_ENTRIES = 200
_ASIDE = 8
_NEW = "candidate"
_OURS = re.compile(r"depth-[0-9a-f]{16}\.safetensors")
_TEXT = "Depth from one image, along the optical axis. Learnt on the road from live images."


class Lineage:
    """One folder of weights; for one process at a time, and for several of its threads.

    Args:
        folder: is made if it does not exist.
        start: depth weights with which the lineage begins, a shipped name or a file; "" for those
            that the folder has, or the default.
        keep: number of weights files on the disk, see `KEPT`.

    Raises:
        OutputError: the folder cannot be written, or another process uses it.
        ConfigurationError: the lineage in the folder began with other weights.
        WeightsError: the start cannot be used, or is lost.
    """

    def __init__(self, folder: Path, start: str = "", keep: int = KEPT) -> None:
        self.folder = folder.expanduser().absolute()
        self._keep = keep
        self._turn = threading.RLock()
        self.problems: list[str] = []
        """What was wrong with the folder when it was opened, and what was done about it."""
        self._lock = self._claim()
        try:
            self.family = self._open(start)
            self._clean()
        except OSError as error:
            self.close()
            raise OutputError(f"{error.filename}: cannot be used ({error.strerror})") from error
        except BaseException:
            self.close()
            raise

    @property
    def active(self) -> Entry:
        """The weights in use."""
        return self.family.active_entry

    @property
    def start(self) -> Entry:
        """The weights with which the lineage began."""
        return self.family.start

    def path_of(self, entry: Entry) -> Path:
        """The weights file of an entry; older ones are deleted to save disk space."""
        return self.folder / f"{entry.name}.safetensors"

    def accept(
        self, network: nn.Module, parent: Entry, why: str, step: int, facts: Mapping[str, Any]
    ) -> Entry:
        """Save a network, and make it the active one.

        Args:
            network: with the architecture of the start.
            parent: what it was learnt from, and compared with.
            why: why it was accepted, one line.
            step: steps of learning from the start on.
            facts: further content of its card.

        Raises:
            OutputError: it cannot be written; what was active stays active.
            TrainingError: `parent` is not active any more, or the network cannot be used: a tensor
                is not finite, or all are those of an entry.
        """
        with self._turn:
            if parent.sha256 != self.active.sha256:
                raise TrainingError(f"{parent.name} was rolled back while these weights learnt")
            _check_finite(network)
            header = read_header(self.path_of(self.start))
            written = self.folder / _NEW
            write_whole(written, lambda path: self._save(network, header, path))
            sha256 = file_sha256(written)
            if self.family.find(sha256) is not None:
                written.unlink()
                raise TrainingError(f"these weights are those of depth-{sha256[:16]}, unchanged")
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            number = self.family.entries[-1].number + 1
            entry = Entry(sha256, parent.sha256, number, step, now, why)
            try:
                written.rename(self.path_of(entry))
                self._write_card(entry, facts)
                self._write_list(self.family.with_accepted(entry))
            except OSError as error:
                self._forget(entry)
                raise OutputError(f"{written}: cannot be renamed ({error.strerror})") from error
            except OutputError:
                self._forget(entry)
                raise
            self._prune()
            return entry

    def rollback(self, why: str) -> Entry:
        """Make the parent of the active weights active, or its nearest ancestor on the disk.

        Args:
            why: one line.

        Raises:
            ConfigurationError: the start is active.
            OutputError: the list cannot be written. The parent is active nevertheless, but if this
                process ends before the next change, the next one begins with the other weights.
        """
        with self._turn:
            left = self.active
            if left == self.start:
                raise ConfigurationError(f"{self.start.name} is the start: nothing to go back to")
            there = (entry for entry in self.family.ancestors(left) if self._intact(entry))
            self.family = self.family.rolled_back(left, next(there, self.start), why)
            try:
                self._write_list(self.family)
            except OutputError:
                # On a full disk, the weights that nobody wants any more make room.
                self._forget(left)
                self._write_list(self.family)
            return self.active

    def close(self) -> None:
        """Let other processes use the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # Opening

    def _claim(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            # Also where the file exists already, the folder must take new ones.
            probe = self.folder / "probe.partial"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be written ({error.strerror}); name another folder for "
                "the learnt weights"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise OutputError(
                f"{self.folder}: another process learns in this folder; name another one, or end "
                "that process"
            ) from error
        return lock

    def _open(self, start: str) -> Family:
        if not is_lineage(self.folder):
            return self._begin(start)
        try:
            family = read_list(self.folder / LIST)
        except WeightsError as damaged:
            self.problems.append(str(damaged))
            try:
                family = read_list(self.folder / BEFORE)
            except WeightsError as error:
                self.problems.append(f"{error}: the lineage begins again")
                self._set_aside(self.folder / LIST)
                self._set_aside(self.folder / BEFORE)
                return self._begin(start)
        if start and header_of(start, "depth").sha256 != family.start.sha256:
            raise ConfigurationError(
                f"{self.folder}: the lineage in this folder began with {family.start.name}, not "
                f"with {start}; name another folder, or the same start"
            )
        return self._mended(family, start)

    def _begin(self, start: str) -> Family:
        header = header_of(start, "depth")
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entry = Entry(header.sha256, "", 0, 0, now, f"the start: {header.path.stem}")
        self._copy_start(entry, header)
        family = Family((entry,), entry.sha256)
        self._write_list(family)
        return family

    def _copy_start(self, entry: Entry, header: Header) -> None:
        """Copy the start, so that the folder does not depend on a file that may change."""
        data = header.path.read_bytes()
        write_whole(self.path_of(entry), lambda path: path.write_bytes(data))
        own = header.path.with_suffix(".md")
        if own.is_file():
            text = own.read_bytes()
            write_whole(self._card_of(entry), lambda path: path.write_bytes(text))

    def _mended(self, family: Family, start: str) -> Family:
        """Go back to the nearest ancestor if the active weights are lost."""
        for entry in family.entries:
            path = self.path_of(entry)
            if path.exists() and not self._intact(entry):
                self._set_aside(path)
        if not self._intact(family.start):
            header = header_of(start, "depth")
            if header.sha256 != family.start.sha256:
                raise WeightsError(
                    f"{self.path_of(family.start)}: the start of the lineage is lost; restore it "
                    "there, or begin a lineage in another folder"
                )
            self.problems.append(f"{family.start.name}, the start, was lost: copied again")
            self._copy_start(family.start, header)
        active = family.active_entry
        if not self._intact(active):
            there = next(e for e in family.ancestors(active) if self._intact(e))
            why = f"{self.path_of(active).name} is lost or damaged"
            self.problems.append(f"{why}: went back to {there.name}")
            family = family.rolled_back(active, there, why)
            self._write_list(family)
        for entry in family.entries:
            if self._intact(entry):
                self._mend_card(entry)
        return family

    def _mend_card(self, entry: Entry) -> None:
        """Write a card again that is lost or damaged: readers refuse weights with a wrong one."""
        with contextlib.suppress(WeightsError):
            if str(read_card(self._card_of(entry)).get("sha256", "")) == entry.sha256:
                return
        if self._card_of(entry).exists() or entry.number:
            self.problems.append(f"{self._card_of(entry).name} was lost or damaged: written again")
            self._write_card(entry, {})

    def _clean(self) -> None:
        """Remove unfinished files, and set aside weights that the list does not name."""
        for left in (*self.folder.glob("*.partial"), self.folder / _NEW):
            left.unlink(missing_ok=True)
        listed = {self.path_of(entry).name for entry in self.family.entries}
        for path in sorted(self.folder.glob("depth-*.safetensors")):
            if _OURS.fullmatch(path.name) and path.name not in listed:
                self._set_aside(path)
        self._prune()

    def _intact(self, entry: Entry) -> bool:
        try:
            return file_sha256(self.path_of(entry)) == entry.sha256
        except WeightsError:
            return False

    def _set_aside(self, path: Path) -> None:
        """Move a file, and its card, to where nobody uses it; the oldest there are deleted."""
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        for file in (path, path.with_suffix(".md")):
            if file.exists():
                file.replace(aside / file.name)
                self.problems.append(f"{file.name} is damaged or foreign: moved to {aside}")
        for file in sorted(aside.iterdir(), key=lambda f: f.stat().st_mtime)[: -2 * _ASIDE]:
            file.unlink()

    # Writing

    def _save(self, network: nn.Module, header: Header, path: Path) -> None:
        save_network(network, path, "depth", header.architecture, header.size, header.unit)

    def _write_list(self, family: Family) -> None:
        current = self.folder / LIST
        if current.is_file():
            text = current.read_bytes()
            write_whole(self.folder / BEFORE, lambda path: path.write_bytes(text))
        write_whole(current, lambda path: path.write_text(family.to_json(), encoding="utf-8"))
        self.family = family

    def _card_of(self, entry: Entry) -> Path:
        return self.path_of(entry).with_suffix(".md")

    def _write_card(self, entry: Entry, facts: Mapping[str, Any]) -> None:
        path = self.path_of(entry)
        start = {}
        with contextlib.suppress(WeightsError, AttributeError):
            start = read_card(self._card_of(self.start))
        content = {
            "network": "depth",
            "licence": start.get("licence", "not stated by the start"),
            "train_files": "not known: learnt from live images",
            "number": entry.number,
            "parent": entry.parent,
            "accepted": entry.time,
            "why": entry.why,
            "step": entry.step,
            **facts,
        }
        text = card(path, content, _TEXT, entry.sha256)
        write_whole(self._card_of(entry), lambda partial: partial.write_text(text, "utf-8"))

    def _forget(self, entry: Entry) -> None:
        """Delete the files of an entry, if that is possible."""
        for path in (self.folder / _NEW, self.path_of(entry), self._card_of(entry)):
            with contextlib.suppress(OSError):
                path.unlink()

    def _prune(self) -> None:
        """Delete the oldest files beyond `keep`, and the oldest entries that have none."""
        family = self.family
        held = [family.start, family.active_entry, *list(family.ancestors(family.active_entry))[:1]]
        others = [e for e in family.entries if e not in held and self.path_of(e).exists()]
        surplus = len(others) + len(set(held)) - self._keep
        for entry in others[: max(0, surplus)]:
            self._forget(entry)
        if len(family.entries) > _ENTRIES:
            gone = [e for e in family.entries if e not in held and not self.path_of(e).exists()]
            drop = gone[: len(family.entries) - _ENTRIES]
            kept = tuple(e for e in family.entries if e not in drop)
            with contextlib.suppress(OutputError):
                self._write_list(Family(kept, family.active))


def _check_finite(network: nn.Module) -> None:
    for key, tensor in network.state_dict().items():
        # As it is stored.
        stored = tensor if key.endswith("running_var") else tensor.half()
        if tensor.is_floating_point() and not bool(torch.isfinite(stored).all()):
            raise TrainingError(f"tensor {key} has values that are not finite: not saved")
