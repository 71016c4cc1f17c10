# SPDX-License-Identifier: Apache-2.0
"""Small sources of the three kinds that most tests of readers need."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_files import BLUE, CAMERA, write_camera_yaml


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve JPEGs whose natural order is not the alphabetical one, and a YAML."""
    path = tmp_path / "clip"
    path.mkdir()
    for i in range(12):
        cv2.imwrite(str(path / f"frame{i}.jpg"), np.full((48, 64, 3), 20 * i, np.uint8))
    write_camera_yaml(path / "camera.yaml", CAMERA)
    return path


@pytest.fixture(params=["mp4", "avi", "mkv"])
def film(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Thirty frames at 20 Hz of increasing brightness, and a YAML."""
    path = tmp_path / f"film.{request.param}"
    code = "MJPG" if request.param == "avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 20, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {path.name} with {code}")
    for i in range(30):
        writer.write(np.full((48, 64, 3), 8 * i, np.uint8))
    writer.release()
    write_camera_yaml(path.with_suffix(".yaml"), CAMERA)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two frames in the layout of 7-Scenes; tracking is lost in the second."""
    path = tmp_path / "kitchen"
    path.mkdir()
    for i, pose in enumerate((np.eye(4), np.full((4, 4), -np.inf))):
        stem = f"{path}/frame-{i:06d}"
        cv2.imwrite(f"{stem}.color.png", BLUE)
        depth = np.full((48, 64), 1500, np.uint16)
        depth[0, :2] = (0, 65535)
        cv2.imwrite(f"{stem}.depth.png", depth)
        np.savetxt(f"{stem}.pose.txt", pose)
    (path / "camera-intrinsics.txt").write_text("60 0 32\n0 60 24\n0 0 1\n")
    return path
