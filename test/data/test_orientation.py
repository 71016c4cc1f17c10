# SPDX-License-Identifier: Apache-2.0
"""EXIF's orientation: pixels and calibration are turned alike, or not at all."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import bags
import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml
from PIL import Image, ImageOps

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.orientation import turned, upright
from depth_recog.method.geometry.camera import Camera

STORED = Camera(64, 48, 60.0, 61.0, 30.0, 20.0, (-0.3, 0.1, 0.004, -0.006, 0.02))


def photo(orientation: int, kind: str = "JPEG") -> tuple[bytes, np.ndarray]:
    """An encoded image with EXIF data, and what Pillow makes of it."""
    pixels = np.kron(np.random.default_rng(0).integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1)))
    image = Image.fromarray(pixels.astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    return file.getvalue(), np.asarray(shown.convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    data, shown = photo(orientation, kind)
    (tmp_path / f"a.{kind.lower()}").write_bytes(data)
    write_camera_yaml(tmp_path / "camera.yaml", STORED)
    frame = Folder(tmp_path)[0]
    np.testing.assert_allclose(frame.image.astype(int), shown, atol=12)
    assert frame.camera.size == frame.image.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_sees_the_turned_picture(orientation: int) -> None:
    """A ray's pixel in the stored image, turned, is its pixel in the upright image."""
    camera = turned(STORED, orientation)
    where = np.zeros((48, 64, 3), np.float32)
    where[..., 0], where[..., 1] = np.meshgrid(np.arange(64.0), np.arange(48.0))
    seen = upright(where, orientation)
    assert seen.shape[1::-1] == camera.size
    for x, y in ((0.2, 0.1), (-0.15, 0.2), (0.1, -0.25)):
        # The upright image's axes in those of the stored one.
        axes = upright(np.float32([[[0, 0], [1, 0]], [[0, 1], [1, 1]]]), orientation)
        right, down = axes[0, 1] - axes[0, 0], axes[1, 0] - axes[0, 0]
        ray = x * right + y * down
        in_upright = project(camera, np.array([x, y]))
        in_stored = project(STORED, ray)
        found = cv2.remap(seen, *np.float32(in_upright).reshape(2, 1, 1), cv2.INTER_LINEAR)[0, 0]
        np.testing.assert_allclose(found[:2], in_stored, atol=0.05)


def project(camera: Camera, ray: np.ndarray) -> np.ndarray:
    point = np.array([[*ray, 1.0]])
    d = np.array(camera.distortion)
    return cv2.projectPoints(point, np.zeros(3), np.zeros(3), camera.matrix, d)[0].reshape(2)


@pytest.mark.parametrize("orientation", [6, 8, 5, 7])
def test_a_calibration_of_the_stored_or_of_the_upright_size(
    tmp_path: Path, orientation: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(orientation)[0])
    write_camera_yaml(tmp_path / "camera.yaml", STORED)
    with caplog.at_level(logging.WARNING):
        assert Folder(tmp_path)[0].camera == turned(STORED, orientation)
    assert f"EXIF orientation {orientation}" in caplog.text
    right = Camera(48, 64, 60.0, 60.0, 23.0, 32.0)
    write_camera_yaml(tmp_path / "camera.yaml", right)
    assert Folder(tmp_path)[0].camera == right


def test_messages_stay_as_they_were_sent(tmp_path: Path, caplog) -> None:
    """As in image_transport: camera_info and frame_id are those of the stored pixels."""
    camera = Camera(64, 48, 60.0, 61.0, 30.0, 20.0)
    messages = [
        ("/c/camera_info", 1, bags.info(5, camera)),
        ("/c/image/compressed", 2, bags.compressed(5, photo(6)[0])),
    ]
    with caplog.at_level(logging.WARNING):
        frame = Rosbag(bags.write(tmp_path / "bag", messages))[0]
    assert "orientation 6 is not applied" in caplog.text
    assert frame.camera == camera
    np.testing.assert_allclose(frame.image.astype(int), photo(1)[1], atol=12)


def test_damaged_exif_data_is_no_orientation(tmp_path: Path) -> None:
    data = photo(6)[0]
    at = data.index(b"Exif\0\0")
    (tmp_path / "a.jpg").write_bytes(data[: at + 6] + b"\xff" * 12 + data[at + 18 :])
    write_camera_yaml(tmp_path / "camera.yaml", STORED)
    assert Folder(tmp_path)[0].image.shape == (48, 64, 3)
