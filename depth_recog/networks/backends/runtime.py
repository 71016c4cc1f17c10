# SPDX-License-Identifier: Apache-2.0
"""What a runtime of graphs offers: OpenVINO (`in_openvino.py`) and onnxruntime do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], NDArray[Any]]
"""From the inputs by name to the only output, which the caller may keep."""


class Runtime(Protocol):
    """A runtime on a device, in a precision."""

    @property
    def identity(self) -> str:
        """Version, device and precision: what a result may depend on besides the graph."""
        ...

    def compile(self, graph: bytes, kind: str) -> Run:
        """Prepare an ONNX model; `kind` is "depth", "masks" or "pose"."""
        ...
