# SPDX-License-Identifier: Apache-2.0
"""In which numbers the networks compute: float32, or bfloat16 where a device is fast at it.

bfloat16 has float32's range and 8 of its 24 bits of precision: half the bytes, and on processors
with instructions for it less than half the time. What comes out of a network is float32 all the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from depth_recog.errors import ConfigurationError
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.segmentation import DESIGNS

PRECISIONS = ("auto", "float32", "bfloat16")
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
_AMPERE = (8, 0)
_MEASURED: tuple[type[nn.Module], ...] = (DepthNetwork, *DESIGNS.values())


@dataclass(frozen=True)
class _InBfloat16:
    """A network that computes in bfloat16, but for what it keeps in float32 by itself.

    Its weights stay float32: files and parameters know nothing of this.
    """

    network: Callable[..., Tensor]
    device_type: str

    def __call__(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(self.device_type, torch.bfloat16):
            # Whether scores are enlarged in float32 is autocast's choice, another one on a GPU.
            return self.network(*inputs).float()


def choose_precision(name: str, device: torch.device) -> str:
    """float32 or bfloat16; "auto" takes bfloat16 where the device has instructions for it.

    Args:
        name: one of `PRECISIONS`. bfloat16 works on every device, on most of them slowly.
        device: where the networks live.

    Raises:
        ConfigurationError: an unknown name.
    """
    if name not in PRECISIONS:
        raise ConfigurationError(f"precision {name!r} is unknown: {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    return "bfloat16" if _is_fast(device) else "float32"


def in_precision(
    network: Callable[..., Tensor], precision: str, device: torch.device
) -> Callable[..., Tensor]:
    """The network as it computes in that precision, float32 in and out.

    Those of others (ONNX, transformers) and the pose network stay as they are: whether bfloat16 is
    enough for them nobody measured.

    Args:
        network: of any kind.
        precision: float32 or bfloat16.
        device: where it lives.
    """
    if precision == "float32" or not isinstance(network, _MEASURED):
        return network
    return _InBfloat16(network, device.type)


def _is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        # On ROCm the capability is another number, which says nothing of bfloat16.
        nvidia = torch.version.cuda is not None
        return nvidia and torch.cuda.get_device_capability(device) >= _AMPERE
    # Older torch cannot tell; float32 is right everywhere.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in _INSTRUCTIONS)
