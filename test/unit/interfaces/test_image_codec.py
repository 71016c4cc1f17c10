# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB, against slow references that share no code with the codec."""

import array
from typing import Any

import image_references as ref
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.errors import EncodingError
from depth_recog.interfaces.image_codec import ENCODINGS, to_rgb


def test_every_encoding_has_a_reference() -> None:
    mosaics = {f"bayer_{p}{bits}" for p in ref.BAYER for bits in (8, 16)}
    assert set(ENCODINGS) == set(ref.CASES) | mosaics


@pytest.mark.parametrize("encoding", ref.CASES)
@pytest.mark.parametrize("padding", [0, 1, 6])
def test_encoding_equals_its_reference(encoding: str, padding: int) -> None:
    encode, tolerance = ref.CASES[encoding]
    data, row, expected = encode(ref.picture())
    step = row + (2 * padding if "16" in encoding else padding)
    rows = len(data) // row
    got = to_rgb(encoding, ref.HEIGHT, ref.WIDTH, step, ref.padded(data, rows, row, step))
    assert got.shape == (ref.HEIGHT, ref.WIDTH, 3)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert ref.difference(got, expected) <= tolerance


@pytest.mark.parametrize(
    ("encoding", "encode"), [("mono16", ref.mono16(True)), ("rgb8", ref.packed("rgb"))]
)
def test_big_endian(encoding: str, encode: Any) -> None:
    """It changes the order of bytes in 16-bit values only."""
    data, row, expected = encode(ref.picture())
    got, swapped = (
        to_rgb(encoding, ref.HEIGHT, ref.WIDTH, row, data, big_endian=big) for big in (True, False)
    )
    assert np.array_equal(got, expected)
    assert np.array_equal(swapped, expected) == (encoding == "rgb8")


@pytest.mark.parametrize("pattern", ref.BAYER)
def test_bayer_gives_the_colours_back(pattern: str) -> None:
    """Red above, green left and blue right of a line: flat areas come back as they were."""
    rgb = np.zeros((16, 24, 3), np.uint8)
    rgb[:8] = (200, 30, 10)
    rgb[8:, :12] = (20, 180, 60)
    rgb[8:, 12:] = (5, 40, 230)
    got = to_rgb(f"bayer_{pattern}8", 16, 24, 24, ref.mosaic(rgb, pattern).tobytes())
    for area in (np.s_[2:6, 2:22], np.s_[10:14, 2:10], np.s_[10:14, 14:22]):
        assert np.array_equal(got[area], rgb[area])


@pytest.mark.parametrize("pattern", ref.BAYER)
def test_bayer_of_noise_is_bilinear(pattern: str) -> None:
    raw = ref.picture(5)[..., 1]
    got = to_rgb(f"bayer_{pattern}8", ref.HEIGHT, ref.WIDTH, ref.WIDTH, raw.tobytes())[1:-1, 1:-1]
    assert np.abs(got - ref.demosaic(raw, pattern)).max() <= 1


def test_bt601_landmarks() -> None:
    """The reference itself: studio black, white, and the bars of pure colour."""
    assert ref.bt601(16, 128, 128) == (0, 0, 0)
    assert ref.bt601(235, 128, 128) == (255, 255, 255)
    assert ref.difference(np.array(ref.bt601(81, 90, 240)), np.array((255, 0, 0))) <= 2
    assert ref.difference(np.array(ref.bt601(41, 240, 110)), np.array((0, 0, 255))) <= 2


@settings(max_examples=40)
@given(
    encoding=st.sampled_from(sorted(ref.CASES)),
    half=st.integers(1, 9),
    height=st.integers(1, 9),
    padding=st.integers(0, 5),
    surplus=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_any_size_padding_and_tail(
    encoding: str, half: int, height: int, padding: int, surplus: int, seed: int
) -> None:
    """Padding of rows and bytes after the last row are not in the result."""
    height += height % 2 if encoding.startswith("nv") else 0
    encode, tolerance = ref.CASES[encoding]
    data, row, expected = encode(ref.picture(seed, 2 * half, height))
    step = row + (2 * padding if "16" in encoding else padding)
    message = ref.padded(data, len(data) // row, row, step) + bytes(surplus)
    kinds: list[Any] = [message, bytearray(message), array.array("B", message)]
    for buffer in kinds:
        got = to_rgb(encoding, height, 2 * half, step, buffer)
        assert ref.difference(got, expected) <= tolerance


@settings(max_examples=60)
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
    """The result is an image of the given size or an EncodingError."""
    try:
        got = to_rgb(encoding, height, width, step, bytes(size))
    except EncodingError:
        return
    assert got.shape == (height, width, 3)
    assert size >= height * step


@pytest.mark.parametrize("case", ref.WRONG)
def test_error_names_the_value_and_the_remedy(case: str) -> None:
    (encoding, height, width, step, size), words = ref.WRONG[case]
    with pytest.raises(EncodingError) as caught:
        to_rgb(encoding, height, width, step, bytes(size))
    for word in words:
        assert word in str(caught.value)
