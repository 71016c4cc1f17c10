# SPDX-License-Identifier: Apache-2.0
"""CompressedImage's files to RGB: whatever was compressed, its colours come back."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.errors import EncodingError
from depth_recog.interfaces import compressed_image
from depth_recog.interfaces.compressed_image import to_rgb

WIDTH, HEIGHT = 64, 48
# Plain areas: JPEG keeps them, and swapped channels are far off.
RGB = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
RGB[:, :32], RGB[:24, 32:], RGB[24:, 32:] = (220, 60, 20), (30, 200, 90), (10, 40, 180)
BGR = RGB[..., ::-1]
GREY = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None] * 3, HEIGHT, 0)


def file(ext: str, pixels: NDArray[Any]) -> bytes:
    """As OpenCV, which takes BGR, writes it."""
    return bytes(cv2.imencode(ext, pixels)[1])


def assert_alike(got: NDArray[Any], expected: NDArray[Any], exact: bool) -> None:
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    off = np.abs(got.astype(int) - expected)
    # At the edges of the areas a JPEG rings.
    assert off.max() == 0 if exact else np.median(off) <= 3 and np.percentile(off, 80) <= 6


FORMATS = {
    # As usual: the compressor got BGR.
    "jpeg": BGR,
    "png": BGR,
    "bgr8; jpeg compressed bgr8": BGR,
    "rgb8; jpeg compressed bgr8": BGR,
    "rgba8; jpeg compressed bgr8": BGR,
    "yuv422_yuy2; jpeg compressed bgr8": BGR,
    "rgb8; png compressed bgr8": BGR,
    "bgr8; png compressed bgr8": BGR,
    "rgb16; png compressed bgr16": BGR.astype(np.uint16) << 8 | 77,
    # RGB handed to the compressor as if it were BGR.
    "rgb8; jpeg compressed ": RGB,
    "bgr8; jpeg compressed ": RGB,
    "rgb8; jpeg compressed rgb8": RGB,
    "bgr8; png compressed rgb8": RGB,
    "mono8; jpeg compressed ": GREY,
    "mono8; jpeg compressed mono8": GREY,
    "mono8; png compressed ": GREY,
    "bayer_rggb8; jpeg compressed mono8": GREY,
    "mono16; png compressed ": GREY.astype(np.uint16) << 8 | 77,
}


@pytest.mark.parametrize(("form", "stored"), [*FORMATS.items(), ("jpeg", GREY), ("png", GREY)])
def test_colours_are_those_of_the_scene(form: str, stored: NDArray[Any]) -> None:
    """Also of grey images and of 16 bits."""
    expected = RGB if stored.ndim == 3 else np.repeat(GREY[..., None], 3, 2)
    ext = ".png" if "png" in form else ".jpg"
    assert_alike(to_rgb(form, file(ext, stored)), expected, exact=ext == ".png")


def test_alpha_is_left_out() -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
    data = file(".png", np.concatenate((RGB[..., ::-1], alpha), 2))
    assert_alike(to_rgb("png", data), RGB, exact=True)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_png_is_the_mosaic(pattern: str, bits: int) -> None:
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    for i, letter in enumerate(pattern):
        v, u = divmod(i, 2)
        mosaic[v::2, u::2] = RGB[v::2, u::2, "rgb".index(letter)]
    raw = mosaic if bits == 8 else mosaic.astype(np.uint16) << 8
    got = to_rgb(f"bayer_{pattern}{bits}; png compressed ", file(".png", raw))
    for v, u in ((24, 10), (8, 50), (40, 50)):
        assert got[v, u].tolist() == RGB[v, u].tolist()


def test_an_orientation_does_not_turn_the_image() -> None:
    """The EXIF orientation is ignored, as the calibration is for the unrotated image."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    plain = file(".jpg", RGB[..., ::-1])
    data = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[0] == WIDTH
    assert_alike(to_rgb("jpeg", data), RGB, exact=False)


def test_padding_behind_the_file_is_no_damage() -> None:
    assert_alike(to_rgb("jpeg", file(".jpg", RGB[..., ::-1]) + bytes(5000)), RGB, exact=False)


@pytest.mark.parametrize("ext", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(ext: str, share: float) -> None:
    data = file(ext, RGB)
    with pytest.raises(EncodingError, match=r"truncated|neither JPEG, PNG nor TIFF"):
        to_rgb("jpeg", data[: int(share * len(data))])


def test_a_damaged_file_is_refused() -> None:
    png = bytearray(file(".png", np.random.default_rng(0).integers(0, 255, (48, 64, 3))))
    png[len(png) // 2] ^= 0xFF
    for form, data in (("png", bytes(png)), ("jpeg", b"\xff\xd8" + bytes(50) + b"\xff\xd9")):
        with pytest.raises(EncodingError, match="damaged"):
            to_rgb(form, data)


@pytest.mark.parametrize("data", [b"", b"GIF89a a GIF", b"\0\0\0\0\0\0\0\0\0\0\0\0\x89PNG"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(EncodingError, match=r"'tiff'.*neither JPEG, PNG nor TIFF"):
        to_rgb("tiff", data)


def test_a_mask_is_packed_without_loss() -> None:
    mask = np.arange(60 * 90, dtype=np.uint8).reshape(60, 90) % 19
    data = compressed_image.to_png(mask)
    assert data.typecode == "B"
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), -1), mask)
    assert compressed_image.MASK_FORMAT.split(";")[0] == "mono8"


def test_our_jpeg_is_image_transports() -> None:
    """`format` and colours as image_transport's subscriber expects them."""
    encoding, compression = compressed_image.FORMAT.split("; ")
    assert encoding == "rgb8"
    assert compression == "jpeg compressed bgr8"
    data = bytes(compressed_image.to_jpeg(RGB))
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert_alike(np.ascontiguousarray(bgr[..., ::-1]), RGB, exact=False)
    assert_alike(to_rgb(compressed_image.FORMAT, data), RGB, exact=False)
