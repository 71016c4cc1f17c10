# SPDX-License-Identifier: Apache-2.0
"""Folders of images: their order, stamps, calibration and damaged files."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_files import BLUE, CAMERA
from street_files import assert_recording

from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError


def test_folder_in_natural_order(clip: Path) -> None:
    """frame9 comes before frame10; without stamps 10 Hz."""
    sequence = open_source(str(clip))
    assert_recording(sequence, "folder", "clip", 10.0, [i * 100_000_000 for i in range(12)])
    assert [frame.name for frame in sequence] == [f"frame{i}" for i in range(12)]
    assert sequence[11].camera == CAMERA
    assert sequence.truth(11).depth is None


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".JPG", ".jpeg"])
def test_folder_images_are_rgb(clip: Path, suffix: str) -> None:
    """All formats are read as contiguous uint8 RGB."""
    cv2.imwrite(str(clip / f"a{suffix}"), BLUE)
    image = Folder(clip)[0].image
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[24, 32], (20, 10, 250), atol=4)


def test_folder_grey_images_get_three_channels(clip: Path) -> None:
    """Also 16-bit PNG files."""
    cv2.imwrite(str(clip / "a.png"), np.full((48, 64), 200 * 257, np.uint16))
    assert Folder(clip)[0].image[0, 0].tolist() == [200, 200, 200]


def test_folder_with_one_sub_folder(clip: Path) -> None:
    """Images may be in a sub-folder, the YAML on either level; hidden files are ignored."""
    (clip / "left").mkdir()
    for image in clip.glob("*.jpg"):
        image.rename(clip / "left" / image.name)
    (clip / "left" / "._frame0.jpg").write_bytes(b"macOS")
    assert len(Folder(clip)) == 12
    (clip / "camera.yaml").rename(clip / "left" / "any_name.yml")
    assert len(Folder(clip)) == 12
    shutil.copytree(clip / "left", clip / "right")
    with pytest.raises(SourceError, match=r"clip has images in several.*give one of left, right"):
        Folder(clip)


def test_folder_stamps(clip: Path) -> None:
    """From timestamps.txt, or from file names in nanoseconds."""
    stamps = [1_700_000_000_000_000_000 + i * 50_000_000 for i in range(12)]
    (clip / "timestamps.txt").write_text("\n".join(map(str, stamps)))
    sequence = Folder(clip)
    assert [frame.stamp_ns for frame in sequence] == stamps
    assert sequence.rate_hz == 20.0
    (clip / "timestamps.txt").unlink()
    for i, stamp in enumerate(stamps):
        (clip / f"frame{i}.jpg").rename(clip / f"{stamp}.jpg")
    assert [frame.stamp_ns for frame in Folder(clip)] == stamps


def test_folder_scales_the_camera(clip: Path) -> None:
    """Half the size halves the focal length; the principal point is relative to pixel centres."""
    cv2.imwrite(str(clip / "frame0.jpg"), np.zeros((24, 32, 3), np.uint8))
    camera = Folder(clip)[0].camera
    assert (camera.fx, camera.cx, camera.size) == (30.0, 32.0 / 2 - 0.5, (32, 24))
    cv2.imwrite(str(clip / "frame0.jpg"), np.zeros((24, 40, 3), np.uint8))
    with pytest.raises(CalibrationError, match=r"frame0\.jpg is 40x24.*64x48.*write a calibration"):
        Folder(clip)[0]


def test_folder_calibration_errors(clip: Path) -> None:
    """No YAML, several, or a damaged one: the message gives the remedy."""
    shutil.copy(clip / "camera.yaml", clip / "right.yaml")
    with pytest.raises(CalibrationError, match=r"keep one of .*camera\.yaml, .*right\.yaml"):
        Folder(clip)
    (clip / "right.yaml").unlink()
    (clip / "camera.yaml").write_text("camera_matrix: [")
    with pytest.raises(CalibrationError, match=r"camera\.yaml is not a ROS camera_info"):
        Folder(clip)
    (clip / "camera.yaml").unlink()
    with pytest.raises(CalibrationError, match=r"write .*clip/camera\.yaml.*image_width: 640"):
        Folder(clip)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000000\n2000000\n3000000", "3 lines for 12 images: write one line"),
        ("\n".join("112345678901"), "stamp 2 .*sort or correct"),
        ("noon", "one a line is needed"),
    ],
)
def test_folder_stamp_errors(clip: Path, text: str, expected: str) -> None:
    (clip / "timestamps.txt").write_text(text)
    with pytest.raises(SourceError, match=rf"timestamps\.txt.*{expected}"):
        Folder(clip)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_cut_off_image_is_named(clip: Path, suffix: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    file = clip / f"a{suffix}"
    cv2.imwrite(str(file), noise)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SourceError, match=rf"a\{suffix} .*restore or delete"):
        Folder(clip)[0]


def test_a_jpeg_without_its_end_is_named(clip: Path) -> None:
    """Two missing bytes are detected; the end marker of a thumbnail is not the image's."""
    file = clip / "frame0.jpg"
    data = file.read_bytes()
    thumbnail = b"\xff\xe1\x00\x08\xff\xda\xff\xd9\x00\x00"
    file.write_bytes(data[:2] + thumbnail + data[2:])
    assert Folder(clip)[0].image.shape == (48, 64, 3)
    for cut in (data[:-2], data[:2] + thumbnail + data[2:-2]):
        file.write_bytes(cut)
        with pytest.raises(SourceError, match=r"frame0\.jpg .*cut off"):
            Folder(clip)[0]


def test_damaged_missing_and_ambiguous_images(clip: Path) -> None:
    """Text in a .jpg, a file that was removed after listing, two images with one stem."""
    sequence = Folder(clip)
    (clip / "frame0.jpg").write_text("hello")
    with pytest.raises(SourceError, match=r"frame0\.jpg \(5 bytes\) is no image.*delete it"):
        sequence[0]
    (clip / "frame1.jpg").unlink()
    with pytest.raises(SourceError, match=r"frame1\.jpg cannot be read.*restore it"):
        sequence[1]
    shutil.copy(clip / "frame2.jpg", clip / "frame2.png")
    with pytest.raises(SourceError, match=r"frame2\.(jpg|png) and frame2\.(jpg|png): keep one"):
        Folder(clip)
