# SPDX-License-Identifier: Apache-2.0
"""TensorBoard files of a learner that never ends: few values, and a bounded size."""

from __future__ import annotations

import contextlib
from pathlib import Path

from depth_recog.errors import OutputError
from depth_recog.training.judge.judgement import Judgement
from depth_recog.training.loop.run import Curves

_EVERY = 10
_LARGEST_BYTES = 20e6


class BoundedCurves:
    """Writes every tenth step and every judgement to `tensorboard/`; a full disk ends them.

    Args:
        folder: of the lineage.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._curves: Curves | None = None
        with contextlib.suppress(OutputError, OSError):
            self._begin()

    def _begin(self) -> None:
        """Open new files; all older ones are deleted if they have become too large."""
        files = [f for f in (self._folder / "tensorboard").glob("events.*") if f.is_file()]
        if sum(f.stat().st_size for f in files) > _LARGEST_BYTES / 2:
            for file in files:
                file.unlink()
        self._curves = Curves(self._folder, 0)

    def step(self, step: int, losses: dict[str, float]) -> None:
        """Write the losses of a step."""
        if step % _EVERY == 0:
            self._write("loss", losses, step)

    def judgement(self, step: int, judgement: Judgement) -> None:
        """Write what the judge measured."""
        values = {"accepted": float(judgement.accepted)}
        for check in judgement.checks:
            values |= {
                f"{check.name}/candidate": check.candidate,
                f"{check.name}/active": check.active,
            }
        self._write("judge", values, step)
        files = (self._folder / "tensorboard").glob("events.*")
        with contextlib.suppress(OutputError, OSError):
            if sum(file.stat().st_size for file in files) > _LARGEST_BYTES:
                self.close()
                self._begin()

    def _write(self, group: str, values: dict[str, float], step: int) -> None:
        if self._curves is None:
            return
        try:
            self._curves.scalars(group, values, step)
        except OutputError:
            self.close()

    def close(self) -> None:
        """Close the files."""
        if self._curves is not None:
            self._curves.close()
            self._curves = None
