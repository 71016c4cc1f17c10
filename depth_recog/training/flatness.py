# SPDX-License-Identifier: Apache-2.0
"""How steady the road is: the height at which a depth network sees the camera above its plane.

The camera's height does not change, so what changes from frame to frame is the depth's error:
no truth is needed to see it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.ground import fit_plane
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.pose.refinement import robust_std

ROAD = CITYSCAPES.index("road")


def road_height(
    depth: NDArray[np.float32], labels: NDArray[np.uint8], camera: Camera
) -> float | None:
    """Distance of the camera from a plane through the road, in the depth's unit.

    Args:
        depth: (H, W) float32.
        labels: (H, W) uint8 train ids.
        camera: of both.

    Returns:
        None where there is no plane, see `fit_plane`.
    """
    plane = fit_plane(depth, labels == ROAD, camera)
    return None if plane is None else plane.distance


def spread(heights: list[float]) -> float:
    """Robust deviation of log heights; NaN below three of them."""
    if len(heights) < 3:
        return float("nan")
    return robust_std(np.log(heights))
