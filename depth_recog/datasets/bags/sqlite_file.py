# SPDX-License-Identifier: Apache-2.0
"""An sqlite3 file of a bag (rosbag2_storage_sqlite3, schemas 1 to 4)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from depth_recog.datasets.bags.storage import DamagedError, Entry, Peek, Topic
from depth_recog.errors import SourceError


class SqliteFile:
    """See `Storage`. Messages are reached by their row, and only what is asked of them is read."""

    def __init__(self, path: Path) -> None:
        """Reads the topics.

        Raises:
            SourceError: not an sqlite3 file, or not one of a bag.
        """
        self.path = path
        self.damage: str | None = None
        self._connection: apsw.Connection | None = None
        self._blob: apsw.Blob | None = None
        self._process = 0
        self._half_a_page = False
        try:
            self._ids, self.topics = self._topics()
        except (apsw.Error, UnicodeDecodeError) as error:
            size = path.stat().st_size
            raise SourceError(
                f"{path} ({size} bytes) cannot be read as an sqlite3 bag ({error}): copy it again"
            ) from error

    def index(self, topic: str, file: int) -> list[Entry]:
        """See `Storage`."""
        entries: list[Entry] = []
        # Without the index on timestamps, which may be the part that a cut took away.
        query = "SELECT id, timestamp FROM messages NOT INDEXED WHERE topic_id = ? ORDER BY id"
        try:
            for row, time in self._connect().execute(query, (self._ids[topic],)):
                entries.append(Entry(int(time), file, 0, int(row)))
        except apsw.Error as error:
            self.damage = self.damage or f"{self.path.name} is damaged ({error})"
        if not self.damage:
            return entries
        # Of a file that was cut off some rows are there and their images' ends are not. What lacks
        # of the last page sqlite fills with zeros: the row in it, the last, only looks whole.
        whole = [entry for entry in entries if self._whole(entry)]
        return whole[:-1] if self._half_a_page else whole

    def read(self, entry: Entry) -> bytes | memoryview:
        """See `Storage`."""
        blob = self._open(entry)
        try:
            return blob.read()
        except apsw.Error as error:
            raise DamagedError(str(error)) from error

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """See `Storage`."""
        blob = self._open(entry)
        length = blob.length()
        try:
            begin = blob.read(head)
            blob.seek(max(0, length - tail))
            return Peek(length, begin, blob.read() if tail else b"")
        except apsw.Error as error:
            raise DamagedError(str(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        """An open connection stays behind."""
        return {**self.__dict__, "_connection": None, "_blob": None}

    def _whole(self, entry: Entry) -> bool:
        try:
            self.read(entry)
        except DamagedError:
            return False
        return True

    def _open(self, entry: Entry) -> apsw.Blob:
        """A message, ready to be read. Raises DamagedError."""
        connection = self._connect()
        try:
            if self._blob is None:
                self._blob = connection.blob_open("main", "messages", "data", entry.place, False)
            else:
                self._blob.reopen(entry.place)
        except apsw.Error as error:
            self._blob = None
            raise DamagedError(str(error)) from error
        return self._blob

    def _connect(self) -> apsw.Connection:
        # A connection must not be used by a child of the process that opened it.
        if self._connection is None or self._process != os.getpid():
            self._blob = None
            self._process = os.getpid()
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        how = "" if self._logged() else "?immutable=1"
        # Bytes, for a path need not be text.
        connection = apsw.Connection(f"file:{quote(os.fsencode(self.path))}{how}", flags=flags)
        # Without it sqlite refuses every row of a file that is shorter than its header says.
        connection.execute("PRAGMA writable_schema=ON")
        return connection

    def _logged(self) -> bool:
        """Whether a recorder that crashed left rows in the log that stands beside the file."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _topics(self) -> tuple[dict[str, int], dict[str, Topic]]:
        connection = self._connect()
        self._check_length()
        tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
        if not {"topics", "messages"} <= tables:
            raise SourceError(f"{self.path} is no bag: it has no tables topics and messages")
        definitions = self._definitions() if "message_definitions" in tables else {}
        ids: dict[str, int] = {}
        topics: dict[str, Topic] = {}
        for number, name, msgtype in connection.execute("SELECT id, name, type FROM topics"):
            ids[str(name)] = int(str(number))
            topics[str(name)] = Topic(
                str(name), str(msgtype), *definitions.get(str(msgtype), ("", ""))
            )
        return ids, topics

    def _definitions(self) -> dict[str, tuple[str, str]]:
        """Encoding and text of the types, as far as they can be read: others are known anyway."""
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        found: dict[str, tuple[str, str]] = {}
        try:
            for name, encoding, text in self._connect().execute(query):
                found[str(name)] = (str(encoding), str(text))
        except (apsw.Error, UnicodeDecodeError) as error:
            self.damage = self.damage or f"{self.path.name} is damaged ({error})"
        return found

    def _check_length(self) -> None:
        """Compares the file with what its header says (sqlite.org/fileformat.html)."""
        with self.path.open("rb") as file:
            header = file.read(32)
        page = int.from_bytes(header[16:18], "big")
        page = 65536 if page == 1 else max(1, page)
        size = self.path.stat().st_size
        if not self._logged() and size < int.from_bytes(header[28:32], "big") * page:
            self.damage = f"{self.path.name} is cut off"
            self._half_a_page = size % page > 0
