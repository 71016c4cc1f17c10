# SPDX-License-Identifier: Apache-2.0
"""An independent decoder of image_transport's `compressedDepth`."""

from __future__ import annotations

import math
import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def decoded(message: Any) -> NDArray[Any]:
    """Return (H, W): metres with NaN for 32FC1, millimetres for 16UC1."""
    encoding, kind = message.format.split("; ")
    assert kind == "compressedDepth png"
    data = bytes(message.data)
    # enum compressionFormat { UNDEFINED = -1, INV_DEPTH }; float depthParam[2]
    form, a, b = struct.unpack_from("<iff", data)
    assert form == 0
    with Image.open(BytesIO(data[12:])) as image:
        assert (image.format, image.mode) == ("PNG", "I;16")
        values = np.array(image)
    if encoding == "16UC1":
        return values
    assert encoding == "32FC1"
    metres = [math.nan if q == 0 else a / (float(q) - b) for q in values.reshape(-1).tolist()]
    return np.array(metres).reshape(values.shape)
