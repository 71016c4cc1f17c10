# SPDX-License-Identifier: Apache-2.0
"""What the libraries below read from the environment, once, when they are imported.

Keep this module light: it must be there before torch, numpy and OpenCV are.
"""

from __future__ import annotations

import os

from depth_recog.limits import IMAGE_PIXELS

DEFAULTS = {
    # torch's OpenMP threads would otherwise wait by spinning for long, which on a machine with
    # other work costs several times the time (docs/decisions/0006-thread-settings.md).
    "GOMP_SPINCOUNT": "1000",
    # numpy's wait by spinning as well, and its matrices are small here.
    "OPENBLAS_NUM_THREADS": "1",
    # Our own message says which picture is damaged; OpenCV's warnings would stand before it.
    "OPENCV_LOG_LEVEL": "ERROR",
    # OpenCV's own check, behind ours.
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(IMAGE_PIXELS),
}


def prepare() -> None:
    """Set `DEFAULTS` where the user has not set something else."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
