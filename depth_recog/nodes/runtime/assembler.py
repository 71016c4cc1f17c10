# SPDX-License-Identifier: Apache-2.0
"""Hold the recognizer that the next frame goes through, and replace it when parameters change.

The inference thread reads `current` once per frame. New settings apply at the next frame. New
networks are loaded and warmed up in a thread of their own; until they are ready, the old ones run.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from depth_recog.errors import WeightsError, describe
from depth_recog.limits import SHOWN
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import (
    Assembly,
    NetworkOptions,
    assemble,
    check_scale,
    check_weights,
)
from depth_recog.networks.models import header_of
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.runtime.depth_parameters import check_uncertainty, settings_of
from depth_recog.nodes.runtime.parameters import Names, Values
from depth_recog.nodes.runtime.slot import LatestSlot
from depth_recog.texts import plain

# Parameters that decide which networks are loaded, in the order of NetworkOptions.
_FROM_FILES = ("weights", "mask_weights", "pose_weights", "gate_weights", "pose_estimator")
_OPTIONS = (*_FROM_FILES, "device", "precision", "backend", "threads")

ACTIVE, LOADING, FAILED = "active", "loading", "failed"


class Assembler:
    """Loads networks, and replaces them while frames are processed."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._settings = Settings()
        self._requests: LatestSlot[Values] = LatestSlot()
        self._request: Values = {}
        self._worker: threading.Thread | None = None
        self._mount: CameraMount | None = None
        self._values: Values = {}
        self.odometry = OdometryBuffer()
        """Of the robot, for the scale."""
        self.current: Assembly | None = None
        """None before `configure` and after `release`. Never modified, only replaced."""
        self.state = ""
        """`ACTIVE`, `LOADING` or `FAILED`; empty while `current` is None."""
        self.why = ""
        """What is being loaded, or why loading failed."""

    def configure(self, values: Values) -> None:
        """Load the networks and warm them up. Raises DepthRecogError."""
        check_uncertainty(values)
        self._values, self._settings = values, settings_of(values, self._mount)
        current = assemble(_options(values), self._settings, odometry=self.odometry)
        current.warm_up()
        memory.give_back()  # what loading took and running does not need
        self._log_weights(current)
        self.current, self.state, self.why = current, ACTIVE, ""
        self._requests = LatestSlot()
        self._worker = threading.Thread(target=self._work, name="weights", daemon=True)
        self._worker.start()

    def check(self, names: Names, values: Values) -> None:
        """Check class names, and the header and hash of changed weights files. Has no effect.

        Before `configure` the files are not checked, because they need not exist yet.

        Args:
            names: of the parameters that would change.
            values: all parameters as they would be.

        Raises:
            DepthRecogError: a weights file or a class name cannot be used.
        """
        if self.current is None:
            with suppress(WeightsError):
                settings_of(values)
            return
        if names.intersection(_FROM_FILES):
            check_weights(_options(values))
        if names.intersection(("weights", "max_uncertainty")):
            check_uncertainty(values)
        settings = settings_of(values)
        if names.intersection(("weights", "scale", "depth_scale")):
            check_scale(header_of(values["weights"], "depth"), settings)

    def apply(self, names: Names, values: Values) -> None:
        """Use changed parameters, which `check` has accepted; arguments as for `check`."""
        if self.current is None:
            return
        try:
            settings = settings_of(values, self._mount)
        except Exception as error:
            # A file has changed since it was checked.
            self._fail(self._request, describe(error))
            return
        self._values = values
        with self._lock:
            if settings != self._settings:
                self._settings = settings
                self.current = self.current.with_settings(settings)
            # Also if the name is the same: the file may have been replaced.
            if changed := names.intersection(_FROM_FILES):
                self._request = dict(values)
                self.state, self.why = (
                    LOADING,
                    ", ".join(plain(str(values[n]), SHOWN) for n in sorted(changed)),
                )
                self._requests.put(self._request)

    def mounted(self, mount: CameraMount) -> None:
        """Use the mount of the camera that tf tells."""
        self._mount = mount
        self._log.info(f"tf: the camera is {mount.height:.2f} m above the ground")
        self.apply(frozenset(), self._values)

    def stop(self, patience: float | None = None) -> bool:
        """Stop loading; returns False if that takes longer than `patience` seconds."""
        self._requests.close()
        if self._worker is not None:
            self._worker.join(patience)
            if self._worker.is_alive():
                return False
            self._worker = None
        return True

    def release(self) -> None:
        """Free the networks and their memory."""
        self.stop()
        self.current, self.state, self.why = None, "", ""
        memory.give_back()

    def _work(self) -> None:
        while (request := self._requests.take()) is not None:
            try:
                settings = settings_of(request, self._mount)
                made = assemble(_options(request), settings, self.current, self.odometry)
                made.warm_up()
                self._replace(request, made)
                del made
            except Exception as error:
                # The old networks stay in use; the reason goes to the log and the diagnostics.
                self._fail(request, describe(error))
            memory.give_back()

    def _replace(self, request: Values, made: Assembly) -> None:
        with self._lock:
            if request is not self._request:
                return  # a newer request has arrived meanwhile
            self.current = made.with_settings(self._settings)
            self.state, self.why = ACTIVE, ""
        self._log_weights(made)

    def _fail(self, request: Values, why: str) -> None:
        with self._lock:
            if request is self._request:
                self.state, self.why = FAILED, why
        self._log.error(f"{why}; the previous networks stay in use")

    def _log_weights(self, assembly: Assembly) -> None:
        depth = assembly.depth
        self._log.info(
            f"depth weights {depth.path.stem} ({depth.sha256[:12]}), unit {depth.unit}, "
            f"on {assembly.device} in {assembly.precision} with {assembly.backend}"
        )


def _options(values: Values) -> NetworkOptions:
    return NetworkOptions(*(values[name] for name in _OPTIONS))
