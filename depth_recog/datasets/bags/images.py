# SPDX-License-Identifier: Apache-2.0
"""A bag's images: which of them are whole, when they were taken, and their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.image_files import is_cut_off
from depth_recog.interfaces import compressed_image
from depth_recog.interfaces.image_codec import to_rgb

_TAIL_BYTES = 64
_NO_CLOCK = 0.1
"""The share of images out of order above which stamps are taken for no clock at all."""


@dataclass(frozen=True)
class ImageIndex:
    """The images of a topic that can be read.

    Attributes:
        entries: where they are, in the order of their stamps.
        stamps: nanoseconds, strictly rising.
        by_header: whether the stamps are header.stamp; else the bag's times of receipt.
        damaged: how many images were left out because they are not whole.
        late: how many because they are not later than one before.
    """

    entries: list[Entry]
    stamps: list[int]
    by_header: bool
    damaged: int
    late: int

    @property
    def rate_hz(self) -> float:
        """By the median time between two images; 10 where there is only one."""
        gaps = [after - before for before, after in pairwise(self.stamps)]
        return 1e9 / median(gaps) if gaps else 10.0


def index_images(bag: Bag, topic: str) -> ImageIndex:
    """Looks at both ends of every image.

    Stamps are header.stamp. Where more than a tenth of them are not later than one before (a driver
    that writes zeros, a recording of a loop), all are the bag's times of receipt. The images that
    are still not later than one before are left out.
    """
    compressed = bag.topics[topic].msgtype == messages.COMPRESSED_IMAGE
    entries = bag.index(topic)
    whole: list[tuple[int, Entry]] = []
    for entry in entries:
        stamp = _stamp_of_whole(bag, entry, compressed)
        if stamp is not None:
            whole.append((stamp, entry))
    by_header = True
    kept = _rising(whole)
    if len(whole) - len(kept) > _NO_CLOCK * len(whole):
        by_header = False
        kept = _rising([(entry.time_ns, entry) for _, entry in whole])
    return ImageIndex(
        entries=[entry for _, entry in kept],
        stamps=[stamp for stamp, _ in kept],
        by_header=by_header,
        damaged=len(entries) - len(whole),
        late=len(whole) - len(kept),
    )


def _rising(images: list[tuple[int, Entry]]) -> list[tuple[int, Entry]]:
    """Those images that are later than all before them."""
    kept: list[tuple[int, Entry]] = []
    for stamp, entry in images:
        if not kept or stamp > kept[-1][0]:
            kept.append((stamp, entry))
    return kept


def _stamp_of_whole(bag: Bag, entry: Entry, compressed: bool) -> int | None:
    """header.stamp of an image; None where it is not whole."""
    try:
        peek = bag.peek(entry, messages.HEAD_BYTES, _TAIL_BYTES if compressed else 0)
        stamp = messages.stamp(peek, messages.IMAGE)
        head = messages.image_head(peek.head, compressed)
        if stamp is None or head is None or not head.whole(peek.length):
            return None
        if compressed:
            start = peek.head[head.begin : head.begin + 8]
            if is_cut_off(start + peek.tail):
                # The end mark may stand farther in front: some cameras pad what they send.
                data = bytes(bag.read(entry)[head.begin : head.begin + head.length])
                return None if is_cut_off(data) else stamp
    except DamagedError:
        return None
    return stamp


def decode(message: Any, compressed: bool) -> NDArray[np.uint8]:
    """Pixels of an Image or CompressedImage.

    Returns:
        (H, W, 3) uint8, RGB, contiguous.

    Raises:
        EncodingError: an encoding that is not known, or data that are no image.
    """
    if not compressed:
        image = to_rgb(
            message.encoding,
            message.height,
            message.width,
            message.step,
            message.data,
            bool(message.is_bigendian),
        )
        # A view of the bag's bytes could not be written to, unlike other readers' images.
        return image if image.flags.writeable else image.copy()
    return compressed_image.to_rgb(message.format, message.data)
