# SPDX-License-Identifier: Apache-2.0
"""The storage files of a bag as one index of messages."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from depth_recog.datasets.bags.files import (
    ASSUMED,
    METADATA,
    ZSTD_SUFFIX,
    is_ros1_bag,
    ros1_text,
    storage_suffix,
)
from depth_recog.datasets.bags.mcap_file import McapFile
from depth_recog.datasets.bags.sqlite_file import SqliteFile
from depth_recog.datasets.bags.storage import (
    ZSTD_MAGIC,
    Entry,
    Peek,
    Storage,
    Topic,
    unpacked,
    zstd,
)
from depth_recog.datasets.image_files import natural_key
from depth_recog.documents import read_yaml
from depth_recog.errors import DocumentError, SourceError
from depth_recog.files import UnreadableError, open_regular
from depth_recog.limits import BAG_CHANNELS, FREE_DISK, MIB, SHOWN, unpacked_most
from depth_recog.texts import plain

STORAGES: dict[str, Callable[[Path], Storage]] = {".mcap": McapFile, ".db3": SqliteFile}


class Bag:
    """A folder that rosbag2 wrote, or one of its storage files."""

    def __init__(self, path: Path) -> None:
        """Finds the files and reads their indexes.

        Raises:
            SourceError: none of the files can be read.
        """
        self.path = path
        self._notes: list[str] = []
        self._counts: dict[str, int] = {}
        self.assumed = ""
        """What `depth-recog record` assumed of a camera without calibration; empty with one."""
        if is_ros1_bag(path):
            raise SourceError(ros1_text(path))
        paths = self._find(path) if path.is_dir() else [path]
        self._files: list[Storage] = []
        for file in paths:
            try:
                self._files.append(self._open(file))
            except (SourceError, OSError) as error:
                if len(paths) == 1:
                    text = f"{file}: {error.strerror}" if isinstance(error, OSError) else error
                    raise SourceError(str(text)) from error
                self._notes.append(f"{file.name} is left out: {error}")
        if not self._files:
            raise SourceError(f"{path}: none of its files can be read: {'; '.join(self._notes)}")
        self.topics: dict[str, Topic] = {}
        for storage in self._files:
            self.topics = {**storage.topics, **self.topics}
        if len(self.topics) > BAG_CHANNELS:
            raise SourceError(
                f"{path} has more than {BAG_CHANNELS} topics: choose one of its files"
            )

    @property
    def damage(self) -> list[str]:
        """Descriptions of the damage, if any; complete only after the topics were indexed."""
        return self._notes + [f.damage for f in self._files if f.damage]

    def file(self, entry: Entry) -> Path:
        """The file that contains a message."""
        return self._files[entry.file].path

    def index(self, topic: str) -> list[Entry]:
        """A topic's messages in order of receipt."""
        return sorted(self.written(topic), key=lambda entry: entry.time_ns)

    def written(self, topic: str) -> list[Entry]:
        """A topic's messages in the order in which they were written, the earliest file first."""
        entries = [
            entry
            for number, storage in enumerate(self._files)
            if topic in storage.topics
            for entry in storage.index(topic, number)
        ]
        begins: dict[int, int] = {}
        for entry in entries:
            begins[entry.file] = min(entry.time_ns, begins.get(entry.file, entry.time_ns))
        return sorted(entries, key=lambda e: (begins[e.file], e.file, e.chunk, e.place))

    def missing(self, topic: str, found: int) -> int:
        """Number of a topic's messages that metadata.yaml counts but that were not found."""
        return max(0, self._counts.get(topic, 0) - found)

    def read(self, entry: Entry) -> bytes | memoryview:
        """Reads a serialised message. Raises DamagedError."""
        return unpacked(self._files[entry.file].read(entry))

    def peek(self, entry: Entry, head: int, tail: int = 0) -> Peek:
        """Reads a message's first and last bytes. Raises DamagedError."""
        peek = self._files[entry.file].peek(entry, head, tail)
        if peek.head[:4] == ZSTD_MAGIC:
            data = self.read(entry)
            end = bytes(data[max(0, len(data) - tail) :])
            return Peek(len(data), bytes(data[:head]), end)
        return peek

    def _find(self, folder: Path) -> list[Path]:
        """Finds the storage files, in order of their messages. Raises SourceError."""
        there = [
            file.name
            for file in sorted(folder.iterdir(), key=natural_key)
            if storage_suffix(file) in STORAGES and file.is_file()
        ]
        # rosbag2 leaves the decompressed file beside the compressed one after playing it.
        unpacked_too = {f"{name}{ZSTD_SUFFIX}" for name in there}
        there = [name for name in there if name not in unpacked_too]
        listed = self._read_metadata(folder / METADATA)
        lost = [n for n in listed if n not in there and n.removesuffix(ZSTD_SUFFIX) not in there]
        if not there:
            raise SourceError(
                f"{folder} holds no file of a bag (*.mcap, *.db3): copy the whole folder"
                + (f"; missing are {', '.join(lost)}" if lost else "")
            )
        self._notes += [f"{name} is missing" for name in lost]
        plain = {name.removesuffix(ZSTD_SUFFIX) for name in listed}
        # If no file is listed, as after renaming, all are taken.
        known = [name for name in there if name.removesuffix(ZSTD_SUFFIX) in plain]
        return [folder / name for name in known or there]

    def _read_metadata(self, path: Path) -> list[str]:
        """Names of the files that metadata.yaml lists; also sets the message counts."""
        try:
            content: Any = read_yaml(path)
            information = content["rosbag2_bagfile_information"]
            names = [PurePosixPath(str(p)).name for p in information["relative_file_paths"]]
            for topic in information["topics_with_message_count"]:
                self._counts[str(topic["topic_metadata"]["name"])] = int(topic["message_count"])
            assumed = (information.get("custom_data") or {}).get(ASSUMED, "")
            self.assumed = plain(str(assumed), SHOWN)
        except FileNotFoundError:
            self._notes.append(f"{path.name} is missing")
        except (OSError, DocumentError, KeyError, TypeError, ValueError, AttributeError):
            self._notes.append(f"{path.name} is damaged")
        else:
            return names
        self._counts.clear()
        return []

    def _open(self, path: Path) -> Storage:
        os.close(open_regular(path))
        if not path.stat().st_size:
            raise SourceError(f"{path} is empty: copy it again")
        if path.suffix != ZSTD_SUFFIX:
            return STORAGES[storage_suffix(path)](path)
        # A file that is compressed as a whole has no random access: decompressed while this exists.
        folder = tempfile.mkdtemp(prefix="depth_recog_")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        plain = Path(folder) / path.stem
        self._decompress(path, plain)
        try:
            return STORAGES[plain.suffix](plain)
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from error

    def _decompress(self, source: Path, target: Path) -> None:
        left = unpacked_most(source.stat().st_size)
        there = shutil.disk_usage(target.parent).free
        kept = min(FREE_DISK, there // 2)
        free = there - kept
        try:
            with (
                os.fdopen(open_regular(source), "rb") as file,
                zstd.open(file, "rb") as packed,
                target.open("wb") as unpacked_file,
            ):
                while piece := packed.read1(MIB):
                    left, free = left - len(piece), free - len(piece)
                    if left < 0:
                        self._notes.append(f"{source.name} unpacks to more than a recording holds")
                        break
                    if free < 0:
                        raise UnreadableError(0, f"less than {kept // MIB} MiB would be left")
                    unpacked_file.write(piece)
        except (zstd.ZstdError, EOFError, MemoryError) as error:
            self._notes.append(f"{source.name} is damaged or cut off ({error})")
        except OSError as error:
            raise SourceError(
                f"{source} cannot be decompressed to {target.parent} ({error.strerror}): free "
                "some space there, set TMPDIR to another place, or decompress it with zstd -d"
            ) from error
