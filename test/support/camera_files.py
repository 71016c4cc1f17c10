# SPDX-License-Identifier: Apache-2.0
"""Writes ROS camera_info YAML files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from depth_recog.method.geometry.camera import DISTORTION_MODELS, Camera

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
BLUE = np.full((48, 64, 3), (250, 10, 20), np.uint8)  # as OpenCV stores it: B, G, R


def write_camera_yaml(path: Path, camera: Camera) -> None:
    """Writes intrinsics with all digits, as camera_calibration does."""
    d = list(camera.distortion or (0.0,) * DISTORTION_MODELS[camera.distortion_model][-1])
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": "front",
        "camera_matrix": {"rows": 3, "cols": 3, "data": camera.matrix.ravel().tolist()},
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": {"rows": 1, "cols": len(d), "data": d},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
