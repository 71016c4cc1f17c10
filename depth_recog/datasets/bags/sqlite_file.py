# SPDX-License-Identifier: Apache-2.0
"""An sqlite3 file of a bag (rosbag2_storage_sqlite3, schemas 1 to 4), also one that was cut off.

It is queried with `apsw`, as in the package `rosbags`, whose reader refuses a file that was cut
off, misses the rows that a killed recorder left in FILE-wal (it opens every file as immutable), and
reads whole messages only, so that opening a bag would read all of its images.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from depth_recog.datasets.bags.storage import DamagedError, Entry, Peek, Topic
from depth_recog.errors import SourceError
from depth_recog.files import open_regular
from depth_recog.limits import BAG_CHANNELS, BAG_MESSAGE_BYTES, BAG_MESSAGES

_MOST_TABLES = 1000
_STEPS = 1_000_000
"""Steps of sqlite's machine for a query on a small file; a row takes about ten."""
_STEPS_PER_BYTE = 2
_PAGES = 1000
"""Steps between two looks at their number."""


class SqliteFile:
    """See `Storage`. Messages are read by row id, as a whole or only their ends."""

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
        except (apsw.Error, ValueError, TypeError) as error:
            size = path.stat().st_size
            raise SourceError(
                f"{path} ({size} bytes) cannot be read as an sqlite3 bag ({_text(error)}): copy it "
                "again"
            ) from error

    def index(self, topic: str, file: int) -> list[Entry]:
        """See `Storage`."""
        entries: list[Entry] = []
        # The index on timestamps may be missing from a file that was cut off.
        query = "SELECT id, timestamp FROM messages NOT INDEXED WHERE topic_id = ? ORDER BY id"
        try:
            for row, time in self._connect().execute(query, (self._ids[topic],)):
                entries.append(Entry(int(time), file, 0, int(row)))
                if len(entries) > BAG_MESSAGES:
                    raise SourceError(f"{self.path}: {topic} has more than {BAG_MESSAGES} messages")
        except (apsw.Error, ValueError, TypeError) as error:
            self.damage = self.damage or f"{self.path.name} is damaged ({_text(error)})"
        if not self.damage:
            return entries
        # In a file that was cut off a row may exist while its data do not. If the last page is
        # incomplete, sqlite fills it with zeros: its row can be read, but is wrong.
        whole = [entry for entry in entries if self._whole(entry)]
        return whole[:-1] if self._half_a_page else whole

    def read(self, entry: Entry) -> bytes | memoryview:
        """See `Storage`."""
        blob = self._open(entry)
        try:
            return blob.read()
        except apsw.Error as error:
            raise DamagedError(_text(error)) from error

    def peek(self, entry: Entry, head: int, tail: int) -> Peek:
        """See `Storage`."""
        blob = self._open(entry)
        length = blob.length()
        try:
            begin = blob.read(head)
            blob.seek(max(0, length - tail))
            return Peek(length, begin, blob.read() if tail else b"")
        except apsw.Error as error:
            raise DamagedError(_text(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open connection out."""
        return {**self.__dict__, "_connection": None, "_blob": None}

    def _whole(self, entry: Entry) -> bool:
        try:
            self.read(entry)
        except DamagedError:
            return False
        return True

    def _open(self, entry: Entry) -> apsw.Blob:
        """A handle to read a message from. Raises DamagedError."""
        connection = self._connect()
        try:
            if self._blob is None:
                self._blob = connection.blob_open("main", "messages", "data", entry.place, False)
            else:
                self._blob.reopen(entry.place)
        except apsw.Error as error:
            self._blob = None
            raise DamagedError(_text(error)) from error
        return self._blob

    def _connect(self) -> apsw.Connection:
        # A child process must not use a connection that its parent opened.
        if self._connection is None or self._process != os.getpid():
            self._blob = None
            self._process = os.getpid()
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            how = "" if self._logged() else "?immutable=1"
            # A path need not be valid UTF-8, so its bytes are quoted.
            uri = f"file:{quote(os.fsencode(self.path))}{how}"
            self._connection = apsw.Connection(uri, flags=flags)
            _restrict(self._connection, self.path.stat().st_size)
            # Makes sqlite read a file that is shorter than its header says.
            self._connection.execute("PRAGMA writable_schema=ON")
        return self._connection

    def _logged(self) -> bool:
        """Whether a recorder that crashed left rows in the log beside the file."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _topics(self) -> tuple[dict[str, int], dict[str, Topic]]:
        connection = self._connect()
        self._check_length()
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
        tables = {str(row[0]) for row in connection.execute(f"{query} LIMIT {_MOST_TABLES}")}
        if not {"topics", "messages"} <= tables:
            raise SourceError(f"{self.path} is no bag: it has no tables topics and messages")
        for table in ("topics", "messages", "message_definitions"):
            # A generated column is a program that runs for every row.
            hidden = f"SELECT count(*) FROM pragma_table_xinfo('{table}') WHERE hidden != 0"
            if next(iter(connection.execute(hidden)))[0]:
                raise SourceError(f"{self.path} is no bag: {table} has columns that are computed")
        definitions = self._definitions() if "message_definitions" in tables else {}
        ids: dict[str, int] = {}
        topics: dict[str, Topic] = {}
        query = f"SELECT id, name, type FROM topics LIMIT {BAG_CHANNELS + 1}"
        for number, name, msgtype in connection.execute(query):
            ids[str(name)] = int(str(number))
            topics[str(name)] = Topic(
                str(name), str(msgtype), *definitions.get(str(msgtype), ("", ""))
            )
        if len(topics) > BAG_CHANNELS:
            raise SourceError(f"{self.path} has more than {BAG_CHANNELS} topics")
        return ids, topics

    def _definitions(self) -> dict[str, tuple[str, str]]:
        """Encoding and text of each message type's definition, as far as they can be read.

        Jazzy's definitions serve for those that cannot.
        """
        query = (
            "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions "
            f"LIMIT {BAG_CHANNELS}"
        )
        found: dict[str, tuple[str, str]] = {}
        try:
            for name, encoding, text in self._connect().execute(query):
                found[str(name)] = (str(encoding), str(text))
        except (apsw.Error, ValueError, TypeError) as error:
            self.damage = self.damage or f"{self.path.name} is damaged ({_text(error)})"
        return found

    def _check_length(self) -> None:
        """Compares the file's size with its header's (sqlite.org/fileformat.html)."""
        with os.fdopen(open_regular(self.path), "rb") as file:
            header = file.read(32)
        page = int.from_bytes(header[16:18], "big")
        page = 65536 if page == 1 else max(1, page)
        size = self.path.stat().st_size
        if not self._logged() and size < int.from_bytes(header[28:32], "big") * page:
            self.damage = f"{self.path.name} is cut off"
            self._half_a_page = size % page > 0


def _restrict(connection: apsw.Connection, size: int) -> None:
    """What a file's schema may do: nothing but hold tables, and no query may go on for ever."""
    for option, value in (
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    ):
        connection.config(option, value)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, BAG_MESSAGE_BYTES)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    looks = (_STEPS + _STEPS_PER_BYTE * size) // _PAGES
    count = 0

    def look() -> bool:
        nonlocal count
        count += 1
        return count > looks

    def begin(*_: object) -> bool:
        nonlocal count
        count = 0
        return True

    connection.exec_trace = begin
    connection.set_progress_handler(look, _PAGES)


def _text(error: Exception) -> str:
    if isinstance(error, apsw.InterruptError):
        return "a query does not end: its tables are not those of a bag"
    return str(error)
