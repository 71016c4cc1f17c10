# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on a processor."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.networks.backends.choice import Place
from depth_recog.networks.backends.runtime import Run

if TYPE_CHECKING:
    from openvino import Core

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITH_BFLOAT16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")


def imported() -> Any:
    """Import OpenVINO without its telemetry, which sends an event over the network at every import.

    OpenVINO takes a module that cannot be imported for one that is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def core() -> Core:
    """Return the process' only instance: it holds plugins and threads."""
    made: Core = imported().Core()
    return made


def fast_in_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (AVX512-BF16 or AMX).

    OpenVINO's answer does not know of oneDNN's limits, under which bfloat16 would be emulated.
    """
    limits = [os.environ[name].upper() for name in _LIMITS if os.environ.get(name)]
    if any(not any(word in limit for word in _WITH_BFLOAT16) for limit in limits):
        return False
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVino:
    """OpenVINO as a `Runtime`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def identity(self) -> str:
        """See `Runtime`."""
        limits = [os.environ.get(name, "") for name in _LIMITS]
        cpu = core().get_property("CPU", "FULL_DEVICE_NAME")
        return f"openvino {imported().__version__} {cpu} {limits} {self._place.precision}"

    def compile(self, graph: bytes, kind: str) -> Run:
        """See `Runtime`. A pose network keeps float32: its output is small differences."""
        precision = "float32" if kind == "pose" else self._place.precision
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._place.threads:
            options["INFERENCE_NUM_THREADS"] = self._place.threads
        request = (
            core().compile_model(core().read_model(graph), "CPU", options).create_infer_request()
        )

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
            request.infer(dict(inputs), share_inputs=True)
            return np.array(request.get_output_tensor().data)

        return run
