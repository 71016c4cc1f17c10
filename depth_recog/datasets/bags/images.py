# SPDX-License-Identifier: Apache-2.0
"""The complete images of a bag and their stamps."""

from __future__ import annotations

from dataclasses import dataclass

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.bags.timeline import timeline
from depth_recog.interfaces import encoded_image

_TAIL_BYTES = 64


@dataclass(frozen=True)
class ImageIndex:
    """The complete images of a topic.

    Attributes:
        entries: their positions, in order of their stamps.
        stamps: nanoseconds, strictly increasing.
        keys: what other topics are joined by: header.stamp or the bag's times of receipt.
        by_header: which of the two.
        damaged: number of images left out because they are incomplete.
        late: number of images left out because of their stamps: not later than an earlier one, or
            far off.
        notes: what is wrong with the stamps.
    """

    entries: list[Entry]
    stamps: list[int]
    keys: list[int]
    by_header: bool
    damaged: int
    late: int
    notes: tuple[str, ...]


def index_images(bag: Bag, topic: str) -> ImageIndex:
    """Indexes the complete images, from the first and last bytes of each.

    Order and stamps are those of `timeline`; images without a place in it are left out.
    """
    compressed = bag.topics[topic].msgtype == messages.COMPRESSED_IMAGE
    entries = bag.written(topic)
    whole: list[tuple[int, Entry]] = []
    for entry in entries:
        stamp = _stamp_of_whole(bag, entry, compressed)
        if stamp is not None:
            whole.append((stamp, entry))
    found = timeline([stamp for stamp, _ in whole], [entry.time_ns for _, entry in whole])
    kept = [whole[number] for number in found.order]
    return ImageIndex(
        entries=[entry for _, entry in kept],
        stamps=found.times,
        keys=[stamp if found.by_header else entry.time_ns for stamp, entry in kept],
        by_header=found.by_header,
        damaged=len(entries) - len(whole),
        late=len(whole) - len(kept),
        notes=tuple(found.notes),
    )


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
