# SPDX-License-Identifier: Apache-2.0
"""The precision of networks in torch: float32, or bfloat16 where the device is fast at it.

bfloat16 has float32's range and 8 of its 24 bits of precision. It needs half the memory, and on
processors with instructions for it less than half the time. A network's output is float32 anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.own.depth import DepthNetwork

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
_AMPERE = (8, 0)
_MEASURED = (DepthNetwork, RefinedDeepLab)


@dataclass(frozen=True)
class _InBfloat16:
    """Runs a network in bfloat16, except for layers that keep themselves in float32.

    The weights stay float32.
    """

    network: Callable[..., Tensor]
    device_type: str

    def __call__(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(self.device_type, torch.bfloat16):
            # autocast upsamples in float32 on some devices and in bfloat16 on others.
            return self.network(*inputs).float()


def automatic(device: str) -> str:
    """Return bfloat16 where torch has instructions for it on this device, else float32."""
    return "bfloat16" if _is_fast(torch.device(device)) else "float32"


def in_precision(
    network: Callable[..., Tensor], precision: str, device: torch.device
) -> Callable[..., Tensor]:
    """Wrap a network to compute in a precision, with float32 inputs and outputs.

    ONNX and transformers models and the pose network are returned unchanged: bfloat16 was not
    measured for them.

    Args:
        network: of any kind.
        precision: float32 or bfloat16.
        device: that it runs on.
    """
    if precision == "float32" or not isinstance(network, _MEASURED):
        return network
    return _InBfloat16(network, device.type)


def _is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        # On ROCm the capability is another number, unrelated to bfloat16.
        nvidia = torch.version.cuda is not None
        return nvidia and torch.cuda.get_device_capability(device) >= _AMPERE
    # An older torch does not report capabilities: float32 then.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in _INSTRUCTIONS)
