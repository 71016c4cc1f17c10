# SPDX-License-Identifier: Apache-2.0
"""The channels of an mcap file and the message types that they name."""

from __future__ import annotations

import struct

from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Schema
from mcap.summary import Summary

from depth_recog.datasets.bags.mcap_bytes import stream_of
from depth_recog.datasets.bags.storage import DamagedError, Topic
from depth_recog.errors import SourceError
from depth_recog.limits import BAG_CHANNELS


class Channels:
    """Channels and schemas by number.

    Args:
        file: for messages.
    """

    def __init__(self, file: object) -> None:
        self._file = file
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}

    def __bool__(self) -> bool:
        return bool(self._channels)

    def take(self, summary: Summary) -> None:
        """Those of the summary. Raises SourceError where they are too many."""
        self._schemas, self._channels = summary.schemas, summary.channels
        self._check()

    def clear(self) -> None:
        """Forget all."""
        self._schemas, self._channels = {}, {}

    def note(self, opcode: int, content: bytes) -> None:
        """Keep a Schema or Channel. Raises DamagedError, and SourceError beyond a bag's number."""
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream_of(content))
                self._schemas[schema.id] = schema
            else:
                channel = Channel.read(stream_of(content))
                self._channels[channel.id] = channel
        except (McapError, ValueError, struct.error, MemoryError, OverflowError) as error:
            raise DamagedError(f"a schema or channel is damaged ({error})") from error
        self._check()

    def known(self, chunk: ChunkIndex) -> bool:
        """Whether all channels of a chunk, and their schemas, are known."""
        channels = [self._channels.get(number) for number in chunk.message_index_offsets]
        return all(
            c is not None and (not c.schema_id or c.schema_id in self._schemas) for c in channels
        )

    def of(self, topic: str) -> list[int]:
        """Numbers of a topic's channels."""
        return [number for number, c in self._channels.items() if c.topic == topic]

    def topics(self) -> dict[str, Topic]:
        """The topics by name."""
        return {channel.topic: self._topic(channel) for channel in self._channels.values()}

    def _topic(self, channel: Channel) -> Topic:
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            return Topic(channel.topic, "")
        definition = schema.data.decode(errors="replace")
        return Topic(channel.topic, schema.name, schema.encoding, definition)

    def _check(self) -> None:
        if max(len(self._channels), len(self._schemas)) > BAG_CHANNELS:
            raise SourceError(f"{self._file} has more than {BAG_CHANNELS} channels")
