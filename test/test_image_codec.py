# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB, against slow references that share no code with the codec."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.errors import EncodingError
from depth_recog.interfaces.image_codec import ENCODINGS, to_rgb

RGB = NDArray[np.uint8]
BAYER = ("rggb", "bggr", "gbrg", "grbg")
WIDTH, HEIGHT = 12, 10


def picture(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> RGB:
    """Noise: every channel and every pixel differs."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Slow references: a message's bytes, and the RGB that must come out of them


def packed(order: str) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    """Channels in an order; `a` is an alpha that must not matter."""

    def encode(rgb: RGB) -> tuple[bytes, int, RGB]:
        data = bytearray()
        for row in rgb:
            for r, g, b in row:
                data += bytes({"r": r, "g": g, "b": b, "a": 77}[c] for c in order)
        return bytes(data), len(order) * rgb.shape[1], rgb

    return encode


def mono(rgb: RGB) -> tuple[bytes, int, RGB]:
    grey = rgb[..., 0]
    return bytes(int(v) for v in grey.reshape(-1)), rgb.shape[1], np.stack([grey] * 3, axis=2)


def mono16(big: bool) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    def encode(rgb: RGB) -> tuple[bytes, int, RGB]:
        data = bytearray()
        for high, low, _ in rgb.reshape(-1, 3):
            data += bytes((high, low) if big else (low, high))
        return bytes(data), 2 * rgb.shape[1], np.stack([rgb[..., 0]] * 3, axis=2)

    return encode


def bt601(y: int, u: int, v: int) -> tuple[int, int, int]:
    """ITU-R BT.601, studio swing: 16 is black and 235 white."""
    luma = 255 / 219 * (y - 16)
    red = luma + 255 / 224 * 1.402 * (v - 128)
    blue = luma + 255 / 224 * 1.772 * (u - 128)
    green = luma - 255 / 224 * (0.344136 * (u - 128) + 0.714136 * (v - 128))
    clipped = [min(255, max(0, round(c))) for c in (red, green, blue)]
    return clipped[0], clipped[1], clipped[2]


def yuv(order: str) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    """Noise is a YUV image too: two pixels share U and V. Y below 16 is out of its range."""

    def encode(noise: RGB) -> tuple[bytes, int, RGB]:
        height, width = noise.shape[:2]
        data = bytearray()
        expected = np.zeros_like(noise)
        for v in range(height):
            for u in range(0, width, 2):
                y0, y1, cb = (
                    max(16, int(noise[v, u, 0])),
                    max(16, int(noise[v, u, 1])),
                    int(noise[v, u, 2]),
                )
                cr = int(noise[v, u + 1, 0])
                luma = iter((y0, y1))
                data += bytes(
                    {"u": cb, "v": cr}.get(c) or 0 if c != "y" else next(luma) for c in order
                )
                expected[v, u] = bt601(y0, cb, cr)
                expected[v, u + 1] = bt601(y1, cb, cr)
        return bytes(data), 2 * width, expected

    return encode


def mosaic(rgb: RGB, pattern: str) -> NDArray[np.uint8]:
    """What a sensor behind this colour filter sees."""
    raw = np.zeros(rgb.shape[:2], np.uint8)
    for v in range(rgb.shape[0]):
        for u in range(rgb.shape[1]):
            raw[v, u] = rgb[v, u, "rgb".index(pattern[2 * (v % 2) + u % 2])]
    return raw


def demosaic(raw: NDArray[np.uint8], pattern: str) -> NDArray[np.float64]:
    """Bilinear: the mean of the nearest pixels of each colour, without the outermost pixels."""
    height, width = raw.shape
    rgb = np.zeros((height - 2, width - 2, 3))
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            for channel, letter in enumerate("rgb"):
                values: dict[int, list[int]] = {}
                for dv in (-1, 0, 1):
                    for du in (-1, 0, 1):
                        if pattern[2 * ((v + dv) % 2) + (u + du) % 2] == letter:
                            values.setdefault(dv * dv + du * du, []).append(
                                int(raw[v + dv, u + du])
                            )
                rgb[v - 1, u - 1, channel] = np.mean(values[min(values)])
    return rgb


CASES: dict[str, tuple[Callable[[RGB], tuple[bytes, int, RGB]], int]] = {
    "mono8": (mono, 0),
    "8UC1": (mono, 0),
    "mono16": (mono16(False), 0),
    "rgb8": (packed("rgb"), 0),
    "bgr8": (packed("bgr"), 0),
    "8UC3": (packed("bgr"), 0),
    "rgba8": (packed("rgba"), 0),
    "bgra8": (packed("bgra"), 0),
    "yuv422": (yuv("uyvy"), 2),
    "uyvy": (yuv("uyvy"), 2),
    "yuv422_yuy2": (yuv("yuyv"), 2),
    "yuyv": (yuv("yuyv"), 2),
}
"""Encoding: its reference, and by how much of 255 a rounding may differ."""


def padded(data: bytes, height: int, row: int, step: int) -> bytes:
    """Rows of `row` bytes with rubbish up to `step` behind each."""
    filler = bytes([0xA5] * (step - row))
    return b"".join(data[i * row : (i + 1) * row] + filler for i in range(height))


def difference(a: RGB, b: RGB) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_every_encoding_has_a_reference() -> None:
    assert set(ENCODINGS) == set(CASES) | {f"bayer_{p}8" for p in BAYER}


@pytest.mark.parametrize("encoding", CASES)
@pytest.mark.parametrize("padding", [0, 1, 6])
def test_encoding_equals_its_reference(encoding: str, padding: int) -> None:
    encode, tolerance = CASES[encoding]
    data, row, expected = encode(picture())
    step = row + (2 * padding if encoding == "mono16" else padding)
    got = to_rgb(encoding, HEIGHT, WIDTH, step, padded(data, HEIGHT, row, step))
    assert got.shape == (HEIGHT, WIDTH, 3)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert difference(got, expected) <= tolerance


def test_mono16_big_endian() -> None:
    data, row, expected = mono16(True)(picture())
    assert np.array_equal(to_rgb("mono16", HEIGHT, WIDTH, row, data, big_endian=True), expected)
    swapped = to_rgb("mono16", HEIGHT, WIDTH, row, data)
    assert not np.array_equal(swapped, expected)


def test_big_endian_means_nothing_to_bytes() -> None:
    data, row, expected = packed("rgb")(picture())
    assert np.array_equal(to_rgb("rgb8", HEIGHT, WIDTH, row, data, big_endian=True), expected)


@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_gives_the_colours_back(pattern: str) -> None:
    """Red above, green left and blue right of a line: flat areas come back as they were."""
    rgb = np.zeros((16, 24, 3), np.uint8)
    rgb[:8] = (200, 30, 10)
    rgb[8:, :12] = (20, 180, 60)
    rgb[8:, 12:] = (5, 40, 230)
    got = to_rgb(f"bayer_{pattern}8", 16, 24, 24, mosaic(rgb, pattern).tobytes())
    for area in (np.s_[2:6, 2:22], np.s_[10:14, 2:10], np.s_[10:14, 14:22]):
        assert np.array_equal(got[area], rgb[area])


@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_of_noise_is_bilinear(pattern: str) -> None:
    raw = picture(5)[..., 1]
    got = to_rgb(f"bayer_{pattern}8", HEIGHT, WIDTH, WIDTH, raw.tobytes())[1:-1, 1:-1]
    assert np.abs(got - demosaic(raw, pattern)).max() <= 1


def test_bt601_landmarks() -> None:
    """The reference itself: studio black, white, and the bars of pure colour."""
    assert bt601(16, 128, 128) == (0, 0, 0)
    assert bt601(235, 128, 128) == (255, 255, 255)
    assert difference(np.array(bt601(81, 90, 240)), np.array((255, 0, 0))) <= 2
    assert difference(np.array(bt601(41, 240, 110)), np.array((0, 0, 255))) <= 2


@settings(max_examples=40, deadline=None)
@given(
    encoding=st.sampled_from(sorted(CASES)),
    half=st.integers(1, 9),
    height=st.integers(1, 9),
    padding=st.integers(0, 5),
    surplus=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_any_size_padding_and_tail(
    encoding: str, half: int, height: int, padding: int, surplus: int, seed: int
) -> None:
    """Padding of a row and bytes behind the last one never reach the picture."""
    encode, tolerance = CASES[encoding]
    data, row, expected = encode(picture(seed, 2 * half, height))
    step = row + (2 * padding if encoding == "mono16" else padding)
    message = padded(data, height, row, step) + bytes(surplus)
    kinds: list[Any] = [message, bytearray(message), array.array("B", message)]
    for buffer in kinds:
        got = to_rgb(encoding, height, 2 * half, step, buffer)
        assert difference(got, expected) <= tolerance


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from([*ENCODINGS, "", "jpeg", "32FC1"]),
    height=st.integers(0, 6),
    width=st.integers(0, 7),
    step=st.integers(0, 40),
    size=st.integers(0, 120),
)
def test_whatever_a_message_holds(
    encoding: str, height: int, width: int, step: int, size: int
) -> None:
    """A picture of the promised size or an EncodingError, never anything else."""
    try:
        got = to_rgb(encoding, height, width, step, bytes(size))
    except EncodingError:
        return
    assert got.shape == (height, width, 3)
    assert size >= height * step


WRONG: dict[str, tuple[tuple[str, int, int, int, int], list[str]]] = {
    # encoding, height, width, step, bytes; what the message must name: the value and the remedy
    "truncated": (("rgb8", 4, 5, 15, 47), ["truncated", "60", "47", "send"]),
    "empty data": (("mono8", 4, 5, 5, 0), ["truncated", "20", "0", "send"]),
    "short step": (("rgb8", 4, 5, 14, 60), ["step 14", "15", "set step"]),
    "zero step": (("rgb8", 4, 5, 0, 60), ["step 0", "15", "set step"]),
    "odd step of mono16": (("mono16", 4, 5, 11, 44), ["step 11", "2 bytes", "pad the rows"]),
    "unknown encoding": (("32FC1", 4, 5, 20, 80), ["'32FC1'", "convert", "rgb8"]),
    "no encoding": (("", 4, 5, 20, 80), ["''", "convert", "rgb8"]),
    "zero width": (("rgb8", 4, 0, 0, 0), ["0x4", "empty", "check"]),
    "zero height": (("rgb8", 0, 5, 15, 0), ["5x0", "empty", "check"]),
    "odd width of yuv": (("yuv422", 4, 5, 10, 40), ["yuv422", "even width", "5", "crop"]),
    "odd width of yuy2": (("yuv422_yuy2", 4, 7, 14, 56), ["yuv422_yuy2", "7", "crop"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_names_the_value_and_the_remedy(case: str) -> None:
    (encoding, height, width, step, size), words = WRONG[case]
    with pytest.raises(EncodingError) as caught:
        to_rgb(encoding, height, width, step, bytes(size))
    for word in words:
        assert word in str(caught.value)


# The seam: one contract, tested on whichever sides of it are installed here

seam = pytest.importorskip("depth_recog.nodes.seam")


def message_of(encoding: str, height: int, width: int, step: int, data: bytes) -> Any:
    from sensor_msgs.msg import Image

    message = Image(encoding=encoding, height=height, width=width, step=step)
    message.data = array.array("B", data)
    return message


@pytest.mark.parametrize("choice", seam.CHOICES)
@pytest.mark.parametrize("encoding", CASES)
@pytest.mark.parametrize("padding", [0, 4])
def test_seam_reads_messages_alike(choice: str, encoding: str, padding: int) -> None:
    encode, tolerance = CASES[encoding]
    data, row, expected = encode(picture(3))
    step = row + padding
    message = message_of(encoding, HEIGHT, WIDTH, step, padded(data, HEIGHT, row, step))
    got = seam.CHOICES[choice](message)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert difference(got, expected) <= tolerance


@pytest.mark.parametrize("choice", seam.CHOICES)
@pytest.mark.parametrize("pattern", BAYER)
def test_seam_reads_bayer_alike(choice: str, pattern: str) -> None:
    rgb = np.full((12, 16, 3), (200, 90, 20), np.uint8)
    raw = mosaic(rgb, pattern).tobytes()
    got = seam.CHOICES[choice](message_of(f"bayer_{pattern}8", 12, 16, 16, raw))
    assert np.array_equal(got[2:-2, 2:-2], rgb[2:-2, 2:-2])


@pytest.mark.parametrize("choice", seam.CHOICES)
def test_seam_reads_big_endian_alike(choice: str) -> None:
    data, row, expected = mono16(True)(picture())
    message = message_of("mono16", HEIGHT, WIDTH, row, data)
    message.is_bigendian = 1
    assert np.array_equal(seam.CHOICES[choice](message), expected)


@pytest.mark.parametrize("choice", seam.CHOICES)
@pytest.mark.parametrize("case", WRONG)
def test_seam_refuses_alike(choice: str, case: str) -> None:
    (encoding, height, width, step, size), words = WRONG[case]
    with pytest.raises(EncodingError) as caught:
        seam.CHOICES[choice](message_of(encoding, height, width, step, bytes(size)))
    for word in words:
        assert word in str(caught.value)
