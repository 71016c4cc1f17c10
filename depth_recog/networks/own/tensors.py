# SPDX-License-Identifier: Apache-2.0
"""Images as tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def image_tensor(image: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Convert (h, w, 3) uint8 to (1, 3, h, w) float 0..1 in channels-last memory (the fastest)."""
    tensor = torch.from_numpy(image).to(device)[None].permute(0, 3, 1, 2)
    return tensor.float().div_(255)
