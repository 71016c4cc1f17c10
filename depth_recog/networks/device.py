# SPDX-License-Identifier: Apache-2.0
"""The device that the networks run on. Torch is imported only to look at a GPU."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from depth_recog.errors import DeviceError

_DRIVERS = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")
_ROCM = Path("/dev/kfd")


@dataclass(frozen=True)
class Device:
    """A processor or GPU.

    Attributes:
        type: cpu or cuda.
        index: of the GPU; None for the current one.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device("cpu")


def choose_device(name: str) -> Device:
    """Return a device by name; "auto" is the GPU where torch can use one.

    Raises:
        DeviceError: the device is unknown or missing.
    """
    if name == "auto":
        return Device("cuda") if gpu_present() and _torch_gpus() else CPU
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", name)
    if match is None:
        raise DeviceError(f"unknown device {name!r}; choose auto, cpu, cuda or cuda:N")
    if match[1] == "cpu":
        return CPU
    device = Device("cuda", int(match[2]) if match[2] else None)
    count = _torch_gpus()
    if (device.index or 0) >= count:
        torch = f"torch sees {count} CUDA devices" if find_spec("torch") else "torch is missing"
        raise DeviceError(
            f"device {name!r} is not here: {torch}; use --device cpu (device:=cpu), or install a "
            "CUDA build of torch"
        )
    return device


def gpu_present() -> bool:
    """Whether a driver reports a GPU; asks the driver, because importing torch takes a second."""
    if _ROCM.exists():
        return True
    for name in _DRIVERS:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value > 0
    return False


def _torch_gpus() -> int:
    if find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()
