# SPDX-License-Identifier: Apache-2.0
"""Chooses the runtime of the networks, by device and by what is installed.

On a GPU it is torch, which also trains. On a processor it is OpenVINO: it takes half of torch's
time for the same networks (docs/decisions/0025-backends.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

from depth_recog.errors import ConfigurationError, DeviceError
from depth_recog.networks.device import CPU, Device, choose_device

TORCH, OPENVINO, ONNXRUNTIME = "torch", "openvino", "onnxruntime"
BACKENDS = ("auto", TORCH, OPENVINO, ONNXRUNTIME)
PRECISIONS = ("auto", "float32", "bfloat16")
_NEEDED = {
    TORCH: (("torch",), "torch"),
    OPENVINO: (("openvino", "onnx"), "openvino onnx"),
    ONNXRUNTIME: (("onnxruntime", "onnx"), "'depth-recog[onnx]'"),
}
"""Modules of a backend, and what pip installs."""


@dataclass(frozen=True)
class Place:
    """Where networks run.

    Attributes:
        backend: torch, openvino or onnxruntime.
        device: a processor or GPU.
        precision: float32 or bfloat16; float16 with onnxruntime's TensorRT.
        threads: of the processor; 0: as many as the runtime chooses.
    """

    backend: str
    device: Device
    precision: str
    threads: int = 0


def installed(backend: str) -> bool:
    """Whether a backend's packages are there; they are not imported."""
    return all(find_spec(module) is not None for module in _NEEDED[backend][0])


def runtimes() -> dict[str, str]:
    """Return the versions of the runtimes that this process has imported, for reports."""
    names = (TORCH, OPENVINO, ONNXRUNTIME)
    return {name: str(sys.modules[name].__version__) for name in names if name in sys.modules}


def choose(backend: str, device: str, precision: str, threads: int = 0) -> Place:
    """Choose where the networks run.

    Args:
        backend: one of `BACKENDS`.
        device: auto, cpu, cuda or cuda:N.
        precision: one of `PRECISIONS`; auto: bfloat16 where the device is fast at it.
        threads: of the processor; 0: as many as the runtime chooses.

    Raises:
        ConfigurationError: backend or precision is unknown, not installed, or not for the device.
        DeviceError: the device is unknown or missing.
    """
    if backend not in BACKENDS:
        raise ConfigurationError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise ConfigurationError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if backend != "auto" and not installed(backend):
        raise ConfigurationError(
            f"backend {backend!r} is not installed: pip install {_NEEDED[backend][1]}"
        )
    chosen = CPU if backend == OPENVINO and device == "auto" else choose_device(device)
    if backend == "auto":
        backend = _automatic(chosen)
    if backend == OPENVINO and chosen.type != "cpu":
        raise ConfigurationError(
            f"backend openvino runs on the processor, and the device is {chosen}: use device cpu, "
            "or backend torch"
        )
    return Place(backend, chosen, _precision(backend, chosen, precision), threads)


def _automatic(device: Device) -> str:
    order = (TORCH, ONNXRUNTIME) if device.type == "cuda" else (OPENVINO, TORCH, ONNXRUNTIME)
    for backend in order:
        if installed(backend):
            return backend
    raise DeviceError("no runtime for the networks is installed: pip install openvino onnx")


def _precision(backend: str, device: Device, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if backend == OPENVINO:
        from depth_recog.networks.backends import in_openvino

        return "bfloat16" if in_openvino.fast_in_bfloat16() else "float32"
    if backend == TORCH:
        from depth_recog.networks import precision

        return precision.automatic(str(device))
    return "float32"
