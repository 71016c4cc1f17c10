# SPDX-License-Identifier: Apache-2.0
"""One contract for whatever reads images and joins them with their CameraInfo.

Images: numpy and OpenCV everywhere, cv_bridge where it is installed. Joining: our CameraMatcher,
which the node uses everywhere, and message_filters' TimeSynchronizer where it is installed
(docs/decisions/0005-matching-and-conversion.md says why ours).
"""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_references import (
    BAYER,
    CASES,
    HEIGHT,
    RGB,
    WIDTH,
    WRONG,
    difference,
    mono16,
    mosaic,
    padded,
    picture,
)

pytest.importorskip("sensor_msgs", reason="image messages are ROS's")

from sensor_msgs.msg import Image

from depth_recog.errors import EncodingError
from depth_recog.nodes.io import seam
from depth_recog.nodes.io.matching import CameraMatcher

FIXTURES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Reading images


@pytest.fixture(params=["numpy", "cv_bridge"])
def to_rgb(request: pytest.FixtureRequest) -> seam.ImageToRgb:
    """Each implementation of the conversion."""
    if request.param not in seam.CHOICES:
        pytest.skip(f"no working {request.param} here")
    return seam.CHOICES[request.param]


def message_of(
    encoding: str, height: int, width: int, step: int, data: bytes, big_endian: bool = False
) -> Image:
    message = Image(encoding=encoding, height=height, width=width, step=step)
    message.is_bigendian = int(big_endian)
    message.data = array.array("B", data)
    return message


def padded_message(encoding: str, rgb: RGB, padding: int, surplus: int = 0) -> tuple[Image, RGB]:
    """Return an image whose rows have padding, not always of whole pixels; and the expected RGB."""
    data, row, expected = CASES[encoding][0](rgb)
    height, width = rgb.shape[:2]
    step = row + (2 * padding if "16" in encoding else padding)
    rows = padded(data, len(data) // row, row, step) + bytes(surplus)
    return message_of(encoding, height, width, step, rows), expected


@pytest.mark.parametrize("encoding", CASES)
@pytest.mark.parametrize("padding", [0, 1, 4, 6])
def test_every_encoding(to_rgb: seam.ImageToRgb, encoding: str, padding: int) -> None:
    message, expected = padded_message(encoding, picture(3), padding)
    got = to_rgb(message)
    assert got.dtype == np.uint8
    assert got.shape == (HEIGHT, WIDTH, 3)
    assert got.flags.c_contiguous
    assert difference(got, expected) <= CASES[encoding][1]


@FIXTURES
@given(
    encoding=st.sampled_from(sorted(CASES)),
    size=st.tuples(st.integers(1, 18), st.integers(1, 9)),
    padding=st.integers(0, 5),
    surplus=st.integers(0, 7),
)
def test_any_size(
    to_rgb: seam.ImageToRgb, encoding: str, size: tuple[int, int], padding: int, surplus: int
) -> None:
    """Odd widths if the encoding allows them, single rows and columns, surplus bytes."""
    width, height = size
    width += width % 2 if any(name in encoding for name in ("yu", "uy", "nv")) else 0
    height += height % 2 if "nv" in encoding else 0
    message, expected = padded_message(encoding, picture(0, width, height), padding, surplus)
    assert difference(to_rgb(message), expected) <= CASES[encoding][1]


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("padding", [0, 5])
def test_bayer(to_rgb: seam.ImageToRgb, pattern: str, padding: int) -> None:
    rgb = np.full((12, 16, 3), (200, 90, 20), np.uint8)
    step = 16 + padding
    raw = padded(mosaic(rgb, pattern).tobytes(), 12, 16, step)
    got = to_rgb(message_of(f"bayer_{pattern}8", 12, 16, step, raw))
    assert np.array_equal(got[2:-2, 2:-2], rgb[2:-2, 2:-2])


@pytest.mark.parametrize("big_endian", [False, True])
def test_byte_order_of_16_bits(to_rgb: seam.ImageToRgb, big_endian: bool) -> None:
    data, row, expected = mono16(big_endian)(picture())
    message = message_of("mono16", HEIGHT, WIDTH, row, data, big_endian)
    assert np.array_equal(to_rgb(message), expected)


@pytest.mark.parametrize("encoding", [e for e in CASES if "16" not in e])
def test_byte_order_of_8_bits_is_ignored(to_rgb: seam.ImageToRgb, encoding: str) -> None:
    """Some drivers set the flag for 8-bit images."""
    message, expected = padded_message(encoding, picture(4), padding=0)
    message.is_bigendian = 1
    assert difference(to_rgb(message), expected) <= CASES[encoding][1]


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_image_is_refused_with_the_reason(to_rgb: seam.ImageToRgb, case: str) -> None:
    (encoding, height, width, step, size), words = WRONG[case]
    with pytest.raises(EncodingError) as caught:
        to_rgb(message_of(encoding, height, width, step, bytes(size)))
    for word in words:
        assert word in str(caught.value)


def test_the_node_uses_cv_bridge_where_it_works() -> None:
    assert ("cv_bridge" if "cv_bridge" in seam.CHOICES else "numpy") == seam.CHOSEN


# Joining an image with its CameraInfo


class Ours:
    """CameraMatcher, with the pairs collected."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._matcher: CameraMatcher[str, str] = CameraMatcher()

    def image(self, stamp: int, name: str) -> None:
        self.pairs += self._matcher.image(stamp, name)[0]

    def info(self, stamp: int, name: str) -> None:
        self.pairs += self._matcher.info(stamp, name)


class Filters:
    """TimeSynchronizer of message_filters, without topics."""

    def __init__(self) -> None:
        import message_filters

        self.pairs: list[tuple[str, str]] = []
        self._inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
        self._join = message_filters.TimeSynchronizer(self._inputs, 10)
        self._join.registerCallback(lambda a, b: self.pairs.append((a.name, b.name)))

    def _feed(self, number: int, stamp: int, name: str) -> None:
        from builtin_interfaces.msg import Time

        header = SimpleNamespace(stamp=Time(sec=stamp // 10, nanosec=stamp % 10 * 10**8))
        self._inputs[number].signalMessage(SimpleNamespace(header=header, name=name))

    def image(self, stamp: int, name: str) -> None:
        self._feed(0, stamp, name)

    def info(self, stamp: int, name: str) -> None:
        self._feed(1, stamp, name)


@pytest.fixture(params=["ours", "message_filters"])
def join(request: pytest.FixtureRequest) -> Any:
    """A new matcher of each implementation."""
    if request.param == "message_filters":
        pytest.importorskip("message_filters", reason="no message_filters here (it is not on PyPI)")
    return Ours() if request.param == "ours" else Filters()


ALL = (0, 1, 2, 3)
SEQUENCES = {
    "info first": ("i0 a0 i1 a1 i2 a2 i3 a3", ALL),
    "image first": ("a0 i0 a1 i1 a2 i2 a3 i3", ALL),
    "mixed": ("a0 i0 i1 a1 i2 a2 a3 i3", ALL),
    "infos ahead": ("i0 i1 i2 a0 a1 i3 a2 a3", ALL),
    "an info is missing": ("a0 i0 a1 a2 i2 a3 i3", (0, 2, 3)),  # ours: a1 with the newest too
    "an image is missing": ("i0 a0 i1 i2 a2 i3 a3", (0, 2, 3)),
    "time jumps back": ("i50 a50 i51 a51 i1 a1 i2 a2", (50, 51, 1, 2)),
}
"""Images (a) and infos (i) with their stamps, in order of arrival; the stamps of the pairs."""


@pytest.mark.parametrize("case", SEQUENCES)
def test_equal_stamps_make_a_pair(join: Any, case: str) -> None:
    words, paired = SEQUENCES[case]
    for word in words.split():
        (join.info if word[0] == "i" else join.image)(int(word[1:]), word)
    equal = [(image, info) for image, info in join.pairs if image[1:] == info[1:]]
    assert equal == [(f"a{n}", f"i{n}") for n in paired]
    assert len(join.pairs) == (words.count("a") if isinstance(join, Ours) else len(paired))


def test_a_stamp_that_comes_twice(join: Any) -> None:
    """A driver that repeats a stamp: both pairs, each image once."""
    for number in (1, 2):
        join.info(7, f"i{number}")
        join.image(7, f"a{number}")
    assert join.pairs == [("a1", "i1"), ("a2", "i2")]


@FIXTURES
@given(swaps=st.lists(st.booleans(), min_size=1, max_size=30))
def test_neighbours_in_any_order(join: Any, swaps: list[bool]) -> None:
    fresh = type(join)()
    for n, swap in enumerate(swaps):
        calls = [(fresh.info, f"i{n}"), (fresh.image, f"a{n}")]
        for call, name in reversed(calls) if swap else calls:
            call(n, name)
    assert fresh.pairs == [(f"a{n}", f"i{n}") for n in range(len(swaps))]
