# SPDX-License-Identifier: Apache-2.0
"""The device that the networks run on."""

from __future__ import annotations

import torch

from depth_recog.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """Return a device by name; "auto" is the GPU where there is one.

    Raises:
        DeviceError: the device is unknown or missing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {name!r}; choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name!r} is not here: torch sees {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu (device:=cpu), or install a CUDA build of torch"
        )
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is not supported; choose auto, cpu, cuda or cuda:N")
    return device
