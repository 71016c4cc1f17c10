# SPDX-License-Identifier: Apache-2.0
"""The accepted weights of one learner, as files in one folder.

    depth-HASH.safetensors   weights, named by the first 16 digits of their sha256; the start is one
    depth-HASH.md            their card: parent, why they were accepted, licence of the start
    lineage.json             which weights descend from which, and which are active
    lineage.before.json      the same before the last change
    aside/                   damaged and foreign weights that were found here; never used
    tensorboard/             curves of the trainer node
    lock                     held by the process that learns

Every file is written whole. New weights count from the moment when `lineage.json` names them, so a
process that is killed before has lost only these; one that is killed later has lost nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depth_recog.adaptation.folder import LineageFolder, save_like
from depth_recog.errors import ConfigurationError, OutputError, TrainingError, WeightsError
from depth_recog.files import write_whole
from depth_recog.networks.family import BEFORE, LIST, Entry, Family, is_lineage, read_list
from depth_recog.networks.weights import file_sha256, header_of, read_header

KEPT = 8
"""Weights files on the disk: the start, the active ones, their parent, and the newest others."""
_ENTRIES = 200


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
        self._keep = keep
        self._turn = threading.RLock()
        self._files = LineageFolder(folder)
        self.folder = self._files.path
        self.problems = self._files.problems
        """What was wrong with the folder when it was opened, and what was done about it."""
        try:
            self.family = self._open(start)
            self._files.clean(self.family)
            self._prune()
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

    @property
    def parent_path(self) -> Path | None:
        """File of the weights that a rollback would make active; None for the start."""
        there = (e for e in self.family.ancestors(self.active) if self.path_of(e).exists())
        entry = next(there, None)
        return None if entry is None else self.path_of(entry)

    def path_of(self, entry: Entry) -> Path:
        """The weights file of an entry; older ones are deleted to save disk space."""
        return self._files.weights(entry)

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
            written = self._files.candidate
            write_whole(written, lambda path: save_like(network, header, path))
            sha256 = file_sha256(written)
            if self.family.find(sha256) is not None:
                written.unlink()
                raise TrainingError(f"these weights are those of depth-{sha256[:16]}, unchanged")
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            number = self.family.entries[-1].number + 1
            entry = Entry(sha256, parent.sha256, number, step, now, why)
            try:
                written.rename(self.path_of(entry))
                self._files.write_card(entry, self.start, facts)
                self._write_list(self.family.with_accepted(entry))
            except OSError as error:
                self._files.forget(entry)
                raise OutputError(f"{written}: cannot be renamed ({error.strerror})") from error
            except OutputError:
                self._files.forget(entry)
                raise
            self._prune()
            return entry

    def digest(self, network: nn.Module) -> str:
        """The sha256 that a network's file would have; "" if there is no room to write it."""
        header = read_header(self.path_of(self.start))
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "candidate"
                save_like(network, header, path)
                return file_sha256(path)
        except OSError:
            return ""

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
            there = (entry for entry in self.family.ancestors(left) if self._files.intact(entry))
            self.family = self.family.rolled_back(left, next(there, self.start), why)
            try:
                self._write_list(self.family)
            except OutputError:
                # On a full disk, the weights that nobody wants any more make room.
                self._files.forget(left)
                self._write_list(self.family)
            return self.active

    def close(self) -> None:
        """Let other processes use the folder."""
        self._files.close()

    # Opening

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
                self._files.set_aside(self.folder / LIST)
                self._files.set_aside(self.folder / BEFORE)
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
        self._files.copy_start(entry, header)
        family = Family((entry,), entry.sha256)
        self._write_list(family)
        return family

    def _mended(self, family: Family, start: str) -> Family:
        """Go back to the nearest ancestor if the active weights are lost."""
        for entry in family.entries:
            path = self.path_of(entry)
            if path.exists() and not self._files.intact(entry):
                self._files.set_aside(path)
        if not self._files.intact(family.start):
            header = header_of(start, "depth")
            if header.sha256 != family.start.sha256:
                raise WeightsError(
                    f"{self.path_of(family.start)}: the start of the lineage is lost; restore it "
                    "there, or begin a lineage in another folder"
                )
            self.problems.append(f"{family.start.name}, the start, was lost: copied again")
            self._files.copy_start(family.start, header)
        active = family.active_entry
        if not self._files.intact(active):
            there = next(e for e in family.ancestors(active) if self._files.intact(e))
            why = f"{self.path_of(active).name} is lost or damaged"
            self.problems.append(f"{why}: went back to {there.name}")
            family = family.rolled_back(active, there, why)
            self._write_list(family)
        for entry in family.entries:
            if self._files.intact(entry):
                self._files.mend_card(entry, family.start)
        return family

    # Writing

    def _write_list(self, family: Family) -> None:
        self._files.write_list(family)
        self.family = family

    def _prune(self) -> None:
        """Delete the oldest files beyond `keep`, and the oldest entries that have none."""
        family = self.family
        held = [family.start, family.active_entry, *list(family.ancestors(family.active_entry))[:1]]
        others = [e for e in family.entries if e not in held and self.path_of(e).exists()]
        surplus = len(others) + len(set(held)) - self._keep
        for entry in others[: max(0, surplus)]:
            self._files.forget(entry)
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
