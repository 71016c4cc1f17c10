# SPDX-License-Identifier: Apache-2.0
"""The complete images of a bag and their stamps."""

from __future__ import annotations

from dataclasses import dataclass

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.interfaces import encoded_image

_TAIL_BYTES = 64
_NO_CLOCK = 0.1
"""Share of images out of order above which header stamps are not used."""


@dataclass(frozen=True)
class ImageIndex:
    """The complete images of a topic.

    Attributes:
        entries: their positions, in order of their stamps.
        stamps: nanoseconds, strictly increasing.
        by_header: whether the stamps are header.stamp or the bag's times of receipt.
        damaged: number of images left out because they are incomplete.
        late: number of images left out because they are not later than an earlier one.
    """

    entries: list[Entry]
    stamps: list[int]
    by_header: bool
    damaged: int
    late: int


def index_images(bag: Bag, topic: str) -> ImageIndex:
    """Indexes the complete images, from the first and last bytes of each.

    Stamps are header.stamp. If more than a tenth of them are not later than an earlier one (a
    driver that writes zeros, a loop that was recorded), the bag's times of receipt are used
    instead. Images that are still not later than an earlier one are left out.
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
    """The images that are later than all before them."""
    kept: list[tuple[int, Entry]] = []
    for stamp, entry in images:
        if not kept or stamp > kept[-1][0]:
            kept.append((stamp, entry))
    return kept


def _stamp_of_whole(bag: Bag, entry: Entry, compressed: bool) -> int | None:
    """header.stamp of an image; None if it is incomplete."""
    try:
        peek = bag.peek(entry, messages.HEAD_BYTES, _TAIL_BYTES if compressed else 0)
        stamp = messages.stamp(peek, messages.IMAGE)
        head = messages.image_head(peek.head, compressed)
        if stamp is None or head is None or not head.whole(peek.length):
            return None
        if compressed:
            start = peek.head[head.begin : head.begin + 8]
            if not encoded_image.has_end_mark(start, peek.tail):
                # Behind the end mark some cameras send leftovers of their buffer.
                data = bytes(bag.read(entry)[head.begin : head.begin + head.length])
                return None if encoded_image.is_cut_off(data) else stamp
    except DamagedError:
        return None
    return stamp
