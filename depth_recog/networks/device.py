# SPDX-License-Identifier: Apache-2.0
"""Which device computes."""

from __future__ import annotations

import torch

from depth_recog.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes a GPU where there is one.

    Raises:
        DeviceError: unknown, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r} is unknown: auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name!r} is not here: {torch.cuda.device_count()} CUDA devices are visible "
            "to torch; use --device cpu (device:=cpu), or install a CUDA build of torch"
        )
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is not supported: auto, cpu, cuda or cuda:N")
    return device
