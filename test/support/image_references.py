# SPDX-License-Identifier: Apache-2.0
"""Slow references of image encodings: bytes of a message, and the expected RGB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
BAYER = ("rggb", "bggr", "gbrg", "grbg")
WIDTH, HEIGHT = 12, 10


def picture(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> RGB:
    """Return noise: all channels and pixels differ."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def packed(order: str) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    """Channels in an order; `a` is alpha, which must be ignored."""

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


def packed16(order: str) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    """Channels of 16 bits, little-endian, whose upper byte is the expected value."""

    def encode(rgb: RGB) -> tuple[bytes, int, RGB]:
        data = bytearray()
        for row in rgb:
            for r, g, b in row:
                for c in order:
                    data += bytes((9, {"r": r, "g": g, "b": b, "a": 77}[c]))
        return bytes(data), 2 * len(order) * rgb.shape[1], rgb

    return encode


def semiplanar(order: str) -> Callable[[RGB], tuple[bytes, int, RGB]]:
    """Noise as Y, then U and V in an order, shared by two by two pixels."""

    def encode(noise: RGB) -> tuple[bytes, int, RGB]:
        height, width = noise.shape[:2]
        luma = np.maximum(noise[..., 0], 16)
        chroma = bytearray()
        expected = np.zeros_like(noise)
        for v in range(0, height, 2):
            for u in range(0, width, 2):
                cb, cr = int(noise[v, u, 1]), int(noise[v, u, 2])
                chroma += bytes({"u": cb, "v": cr}[c] for c in order)
                for y, x in ((v, u), (v, u + 1), (v + 1, u), (v + 1, u + 1)):
                    expected[y, x] = bt601(int(luma[y, x]), cb, cr)
        return luma.tobytes() + bytes(chroma), width, expected

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
    """Noise as YUV: two pixels share U and V; Y below 16 is out of range."""

    def encode(noise: RGB) -> tuple[bytes, int, RGB]:
        height, width = noise.shape[:2]
        data = bytearray()
        expected = np.zeros_like(noise)
        for v in range(height):
            for u in range(0, width, 2):
                y0, y1, cb = noise[v, u].tolist()
                y0, y1, cr = max(16, y0), max(16, y1), int(noise[v, u + 1, 0])
                luma = iter((y0, y1))
                data += bytes(
                    {"u": cb, "v": cr}.get(c) or 0 if c != "y" else next(luma) for c in order
                )
                expected[v, u] = bt601(y0, cb, cr)
                expected[v, u + 1] = bt601(y1, cb, cr)
        return bytes(data), 2 * width, expected

    return encode


def mosaic(rgb: RGB, pattern: str) -> NDArray[np.uint8]:
    """Return the (H, W) raw image of a sensor with this colour filter."""
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
    "nv12": (semiplanar("uv"), 2),
    "nv21": (semiplanar("vu"), 2),
    "8UC4": (packed("bgra"), 0),
    "16UC1": (mono16(False), 0),
    "16UC3": (packed16("bgr"), 0),
    "16UC4": (packed16("bgra"), 0),
    "rgb16": (packed16("rgb"), 0),
    "bgr16": (packed16("bgr"), 0),
    "rgba16": (packed16("rgba"), 0),
    "bgra16": (packed16("bgra"), 0),
}
"""Encoding to its reference, and the tolerance of rounding in units of 1/255."""


def padded(data: bytes, height: int, row: int, step: int) -> bytes:
    """Return rows of `row` bytes, each padded with noise to `step` bytes."""
    filler = bytes([0xA5] * (step - row))
    return b"".join(data[i * row : (i + 1) * row] + filler for i in range(height))


def difference(a: RGB, b: RGB) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


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
