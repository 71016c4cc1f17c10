# SPDX-License-Identifier: Apache-2.0
"""A drive in KITTI raw's layout, written for a test, and the way to the real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = Path(
    os.environ.get("DEPTH_RECOG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
P2 = "721.5 0 30.0 44.85728 0 721.5 20.0 0.2163791 0 0 1 0.002745884"
EYE = "1 0 0 0 1 0 0 0 1"


def real(folder: str) -> Path:
    """The folder of real data; skips the test where it is missing."""
    path = DATA / folder
    if not path.is_dir():
        pytest.skip(f"real data {path} is missing: set DEPTH_RECOG_DATA")
    return path


def write_drive(folder: Path) -> Path:
    """Three frames of 64x40; the IMU drives north (yaw 90 degrees), 1 m a frame; axes as a car's.

    The IMU is x forward, y left, z up, and the LiDAR sits on it; the camera looks forward.
    """
    path = folder / "2011_09_26" / "2011_09_26_drive_0001_sync"
    for sub in ("image_02/data", "oxts/data", "proj_depth/velodyne_raw/image_02"):
        (path / sub).mkdir(parents=True)
    stamps = []
    for i in range(3):
        cv2.imwrite(f"{path}/image_02/data/{i:010d}.png", np.full((40, 64, 3), 10 * i, np.uint8))
        depth = np.zeros((40, 64), np.uint16)
        depth[5, 6] = 256 * 12 + 128
        cv2.imwrite(f"{path}/proj_depth/velodyne_raw/image_02/{i:010d}.png", depth)
        latitude = 49.0 + np.rad2deg(i / 6378137.0)
        oxts = f"{latitude:.13f} 8.4 110 0 0 {np.pi / 2:.12f}" + " 0" * 24
        (path / f"oxts/data/{i:010d}.txt").write_text(oxts)
        stamps.append(f"2011-09-26 13:04:32.{345808896 + i * 103000000:09d}")
    (path / "image_02/timestamps.txt").write_text("\n".join(stamps) + "\n")
    date = path.parent
    (date / "calib_cam_to_cam.txt").write_text(
        f"calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 64 40\nR_rect_00: {EYE}\nP_rect_02: {P2}\n"
    )
    (date / "calib_imu_to_velo.txt").write_text(f"R: {EYE}\nT: 0 0 0\n")
    (date / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    return path
