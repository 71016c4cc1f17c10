# SPDX-License-Identifier: Apache-2.0
"""16-bit images of cameras with fewer bits: as bright as with eight, steadily, in every source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bags
import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml
from kitti_files import write_drive
from numpy.typing import NDArray

from depth_recog.datasets import image_files
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.sources import open_source
from depth_recog.errors import EncodingError, SourceError
from depth_recog.interfaces import compressed_image, image_codec
from depth_recog.interfaces.bit_depth import BitDepth

SIZE = (48, 64)
GREY = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)


def low(bits: int, pixels: NDArray[np.uint8] = GREY) -> NDArray[np.uint16]:
    """The picture of a camera of `bits` bits, in the low ones."""
    return (pixels.astype(np.uint16) * 257) >> (16 - bits)


def high(bits: int, pixels: NDArray[np.uint8] = GREY) -> NDArray[np.uint16]:
    """The same in the high bits, as GenICam's Mono16 of most drivers."""
    return low(bits, pixels) << (16 - bits)


@pytest.mark.parametrize("place", [low, high])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_as_bright_as_with_eight_bits(bits: int, place: Any) -> None:
    depth = BitDepth()
    np.testing.assert_array_equal(depth.to_8_bit(place(bits)), GREY)
    assert depth.bits == (bits if place is low else 16)
    dark = place(bits, GREY // 8)
    # The depth is that of the stream: a dark image stays dark.
    np.testing.assert_array_equal(depth.to_8_bit(dark), GREY // 8)


@pytest.mark.parametrize("bits", [14, 12, 10])
def test_a_dark_image_in_the_high_bits(bits: int) -> None:
    np.testing.assert_array_equal(BitDepth().to_8_bit(high(bits, GREY // 8)), GREY // 8)


def test_it_only_grows() -> None:
    """From a covered lens, with hot pixels, to daylight; then into a tunnel."""
    depth = BitDepth()
    covered = np.zeros((480, 640), np.uint16)
    covered[5, :20] = 65535  # stuck pixels, or a counter that the camera writes into its image
    assert not depth.to_8_bit(np.where(covered > 0, covered, 40)).mean() > 60
    day = np.tile(low(12), (10, 10))
    for factor in (1, 1, 16, 256):
        np.testing.assert_array_equal(depth.to_8_bit(day // factor), (day // factor) >> 4)
    assert depth.bits == 12


def test_given_bits_hold_and_brighter_pixels_are_clipped(caplog: Any) -> None:
    depth = BitDepth(10, "image")
    np.testing.assert_array_equal(depth.to_8_bit(low(10)), GREY)
    assert not caplog.messages
    for _ in range(3):
        np.testing.assert_array_equal(
            depth.to_8_bit(low(12)), np.minimum(low(12) >> 2, 255).astype(np.uint8)
        )
    assert len(caplog.messages) == 1
    assert "more than 10 significant bits" in caplog.messages[0]
    assert BitDepth(12).to_8_bit(np.array([[0, 4095]], ">u2")).tolist() == [[0, 255]]


ENCODINGS = [e for e, layout in image_codec.ENCODINGS.items() if layout.dtype == "u2"]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_16_bits(encoding: str, big: bool) -> None:
    """Live, from sensor_msgs/Image."""
    channels = image_codec.ENCODINGS[encoding].channels
    pixels = np.repeat(GREY[..., None], channels, 2)
    messages = [
        bags.image(0, p.astype(">u2" if big else "<u2"), encoding, is_bigendian=int(big))
        for p in (low(16, pixels), low(12, pixels))
    ]
    expected = image_codec.message_to_rgb(messages[0])
    np.testing.assert_array_equal(image_codec.message_to_rgb(messages[1], BitDepth()), expected)


@pytest.mark.parametrize(
    "form",
    ["png", "mono16; png compressed ", "bayer_rggb16; png compressed ", "mono16; tiff compressed "],
)
def test_compressed_messages(form: str) -> None:
    def packed(bits: int) -> bytes:
        return cv2.imencode(".tiff" if "tiff" in form else ".png", low(bits))[1].tobytes()

    expected = compressed_image.to_rgb(form, packed(16))
    for bits in (10, 12, 14):
        got = compressed_image.to_rgb(form, packed(bits), BitDepth())
        np.testing.assert_array_equal(got, expected)


# Recordings: the same bits for all frames, whichever is read first


def pictures(count: int = 40) -> list[NDArray[np.uint8]]:
    """A tunnel with daylight at its end: all frames but some in the middle are dark."""
    bright = range(18, 26)
    return [GREY if n in bright else GREY // 16 for n in range(count)]


CAMERA = bags.CAMERA.resized(64, 48)


def bag(path: Path, images: list[NDArray[Any]], storage: str, png: bool) -> Path:
    messages: bags.Messages = []
    for number, pixels in enumerate(images):
        stamp = bags.START + number * bags.PERIOD
        messages.append(("/c/camera_info", stamp, bags.info(stamp, CAMERA)))
        if png:
            data = cv2.imencode(".png", pixels)[1].tobytes()
            message = bags.compressed(stamp, data, "mono16; png compressed ")
            messages.append(("/c/image/compressed", stamp, message))
        else:
            kind = "mono16" if pixels.dtype == np.uint16 else "mono8"
            messages.append(("/c/image", stamp, bags.image(stamp, pixels, kind)))
    return bags.write(path, messages, storage)


def folder(path: Path, images: list[NDArray[Any]]) -> Path:
    path.mkdir()
    write_camera_yaml(path / "camera.yaml", CAMERA)
    for number, pixels in enumerate(images):
        cv2.imwrite(str(path / f"{number}.png"), pixels)
    return path


DOORS = {
    "mcap": lambda path, images: bag(path, images, "mcap", png=False),
    "sqlite3": lambda path, images: bag(path, images, "sqlite3", png=False),
    "compressed": lambda path, images: bag(path, images, "mcap", png=True),
    "folder": folder,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_recordings(door: str, bits: int, tmp_path: Path) -> None:
    given = pictures()
    source = DOORS[door](tmp_path / "in", [low(bits, p) for p in given])
    recording = open_source(str(source))
    for index in (0, 20, 39, 1):
        np.testing.assert_array_equal(recording[index].image[..., 1], given[index])
    by_option = open_source(f"{'folder' if door == 'folder' else 'rosbag'}:{source}?bits={bits}")
    np.testing.assert_array_equal(by_option[0].image[..., 1], given[0])


@pytest.mark.parametrize("door", ["mcap", "folder"])
def test_a_frame_that_was_not_looked_at_is_clipped_with_a_warning(
    door: str, tmp_path: Path, caplog: Any
) -> None:
    dark = [low(10)] * 40
    dark[1] = low(16)
    recording = open_source(str(DOORS[door](tmp_path / "in", dark)))
    frames = list(recording)
    np.testing.assert_array_equal(frames[0].image[..., 0], GREY)
    assert frames[1].image.mean() > 240
    assert [m for m in caplog.messages if "more than 10 significant bits" in m]


def test_images_of_8_bits_are_unchanged_and_only_one_is_looked_at(
    tmp_path: Path, monkeypatch: Any
) -> None:
    clip = Folder(folder(tmp_path / "in", [GREY] * 5))
    read = []
    real = image_files.read_bytes
    monkeypatch.setattr(
        image_files, "read_bytes", lambda path, most: (read.append(path.name), real(path, most))[1]
    )
    np.testing.assert_array_equal(clip[4].image[..., 0], GREY)
    assert sorted(read) == ["0.png", "4.png"]


def test_a_folder_of_tiffs(tmp_path: Path) -> None:
    """As industrial cameras write; beside other images they are not taken for frames."""
    clip = folder(tmp_path / "in", [GREY])
    for number in range(3):
        cv2.imwrite(str(clip / f"{number}.tif"), low(12))
    assert [frame.name for frame in Folder(clip)] == ["0"]
    (clip / "0.png").unlink()
    found = list(open_source(str(clip)))
    assert len(found) == 3
    np.testing.assert_array_equal(found[2].image[..., 0], GREY)
    data = (clip / "1.tif").read_bytes()
    (clip / "1.tif").write_bytes(data[: len(data) // 2])
    assert [frame.name for frame in Folder(clip)] == ["0", "2"]


def test_numbers_that_are_no_picture(tmp_path: Path) -> None:
    depth = cv2.imencode(".tiff", GREY.astype(np.float32))[1].tobytes()
    with pytest.raises(EncodingError, match="float32 numbers"):
        compressed_image.to_rgb("32FC1; tiff compressed ", depth)
    clip = folder(tmp_path / "in", [])
    (clip / "0.tiff").write_bytes(depth)
    with pytest.raises(SourceError, match=r"0\.tiff"):
        list(Folder(clip))


def test_a_mix_of_8_and_16_bits(tmp_path: Path) -> None:
    images = [low(12), GREY, low(12)]
    found = [f.image[..., 0] for f in Folder(folder(tmp_path / "in", images))]
    np.testing.assert_array_equal(found, [GREY] * 3)


def test_a_data_set_of_16_bits(tmp_path: Path) -> None:
    drive = write_drive(tmp_path)
    for file in (drive / "image_02" / "data").iterdir():
        cv2.imwrite(str(file), low(12, np.resize(GREY, (40, 64))))
    for frame in open_source(str(drive)):
        np.testing.assert_array_equal(frame.image[..., 2], np.resize(GREY, (40, 64)))


@pytest.mark.parametrize("bits", ["7", "17", "twelve", "-8", "12.5"])
def test_bits_that_no_camera_has(bits: str, tmp_path: Path) -> None:
    clip = folder(tmp_path / "in", [GREY])
    with pytest.raises(SourceError, match=rf"bits={bits}.*8 to 16"):
        open_source(f"folder:{clip}?bits={bits}")
    drive = bag(tmp_path / "bag", [GREY], "mcap", png=False)
    with pytest.raises(SourceError, match=rf"bits={bits}.*8 to 16"):
        Rosbag(f"{drive}?bits={bits}")
