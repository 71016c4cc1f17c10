# SPDX-License-Identifier: Apache-2.0
"""An independent decoder of image_transport's `compressedDepth`."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import png16
from numpy.typing import NDArray


def decoded(message: Any) -> NDArray[Any]:
    """Return (H, W): metres with NaN for 32FC1, millimetres for 16UC1."""
    encoding, kind = message.format.split("; ")
    assert kind == "compressedDepth png"
    data = bytes(message.data)
    # enum compressionFormat { UNDEFINED = -1, INV_DEPTH }; float depthParam[2]
    form, a, b = struct.unpack_from("<iff", data)
    assert form == 0
    values = png16.read(data[12:])
    if encoding == "16UC1":
        return values
    assert encoding == "32FC1"
    metres = [math.nan if q == 0 else a / (float(q) - b) for q in values.reshape(-1).tolist()]
    return np.array(metres).reshape(values.shape)
