# SPDX-License-Identifier: Apache-2.0
"""The assembly that the next frame goes through: replaced whole, never changed.

The inference thread takes `current` once a frame. Settings are exchanged at once; networks are
loaded and warmed in a thread of their own, and the old ones go on until the new ones are ready.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from depth_recog.errors import DepthRecogError
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import Assembly, assemble, check_weights
from depth_recog.nodes.depth_parameters import settings_of
from depth_recog.nodes.io.matching import LatestSlot
from depth_recog.nodes.runtime import memory

FROM_FILES = frozenset(
    {"weights", "gate_weights", "mask_weights", "pose_weights", "pose_estimator"}
)
"""Parameters that say which networks are loaded."""

ACTIVE, LOADING, FAILED = "active", "loading", "failed"


class Assembler:
    """Loads networks, and exchanges them while frames go through.

    Args:
        log: the node's logger.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._settings = Settings()
        self._wishes: LatestSlot[Mapping[str, Any]] = LatestSlot()
        self._wish: Mapping[str, Any] = {}
        self._worker: threading.Thread | None = None
        self.current: Assembly | None = None
        self.state = ""
        """`ACTIVE`, `LOADING` or `FAILED` while there is an assembly."""
        self.why = ""
        """What is loaded, or why that failed."""

    def configure(self, values: Mapping[str, Any]) -> None:
        """Load and warm everything; raises DepthRecogError."""
        self._settings = settings_of(values)
        current = _assemble(values, self._settings)
        current.warm_up()
        self._tell(current)
        self.current, self.state, self.why = current, ACTIVE, ""
        self._wishes = LatestSlot()
        self._worker = threading.Thread(target=self._work, name="weights", daemon=True)
        self._worker.start()

    def apply(self, names: frozenset[str], values: Mapping[str, Any]) -> None:
        """Take changed parameters over; before `configure` there is nothing to change.

        Args:
            names: which parameters were set.
            values: all of them.

        Raises:
            DepthRecogError: a weights file that does not fit. Nothing is changed then.
        """
        if self.current is None:
            return
        if names & FROM_FILES:
            check_weights(*_files(values), values["gate_weights"])
        settings = settings_of(values)
        with self._lock:
            if settings != self._settings:
                self._settings = settings
                self.current = self.current.with_settings(settings)
            # Setting the same name again loads a file that was replaced under that name.
            if names & FROM_FILES:
                self._wish = dict(values)
                self.state = LOADING
                self.why = ", ".join(str(values[n]) for n in sorted(names & FROM_FILES))
                self._wishes.put(self._wish)

    def stop(self, patience: float | None = None) -> bool:
        """Load nothing more; False where that takes longer than `patience` seconds."""
        self._wishes.close()
        if self._worker is not None:
            self._worker.join(patience)
            if self._worker.is_alive():
                return False
            self._worker = None
        return True

    def release(self) -> None:
        """Forget the networks and give their memory back."""
        self.stop()
        self.current, self.state, self.why = None, "", ""
        memory.give_back()

    def _work(self) -> None:
        while (wish := self._wishes.take()) is not None:
            try:
                made = _assemble(wish, settings_of(wish), self.current)
                made.warm_up()
                self._exchange(wish, made)
                del made
            except Exception as error:
                # The old networks go on; the reason is logged and stands in the diagnostics.
                named = isinstance(error, DepthRecogError)
                self._fail(wish, str(error) if named else f"{type(error).__name__}: {error}")
            memory.give_back()

    def _exchange(self, wish: Mapping[str, Any], made: Assembly) -> None:
        with self._lock:
            if wish is not self._wish:
                return  # another one was wished for meanwhile: the last one wins
            self.current = made.with_settings(self._settings)
            self.state, self.why = ACTIVE, ""
        self._tell(made)

    def _fail(self, wish: Mapping[str, Any], why: str) -> None:
        with self._lock:
            if wish is self._wish:
                self.state, self.why = FAILED, why
        self._log.error(f"{why}; the networks before it stay")

    def _tell(self, assembly: Assembly) -> None:
        depth = assembly.depth
        self._log.info(
            f"depth weights {depth.path.stem} ({depth.sha256[:12]}), in {depth.unit}, "
            f"on {assembly.device} in {assembly.precision}"
        )


def _files(values: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (
        values["weights"],
        values["mask_weights"],
        values["pose_weights"],
        values["pose_estimator"],
    )


def _assemble(
    values: Mapping[str, Any], settings: Settings, previous: Assembly | None = None
) -> Assembly:
    return assemble(
        values["device"],
        *_files(values),
        settings,
        previous,
        values["gate_weights"],
        values["precision"],
    )
