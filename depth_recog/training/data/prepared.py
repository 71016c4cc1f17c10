# SPDX-License-Identifier: Apache-2.0
"""The frames of a recording as training reads them: memory-mapped arrays in one folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from depth_recog.documents import read_json
from depth_recog.errors import DocumentError, SourceError
from depth_recog.method.geometry.se3 import relative

META = "meta.json"
OPTIONAL = ("depths", "anchors", "probabilities", "points", "teachers")


@dataclass(frozen=True)
class PreparedFrames:
    """N rectified frames of one size.

    Attributes:
        source: the recording, as the user typed it.
        names: names of the frames.
        files: [sha256, path] of the files that were read; empty for synthetic frames.
        images: (N, H, W, 3) uint8 RGB.
        labels: (N, H, W) uint8 Cityscapes train ids, 255 unlabelled.
        intrinsics: (N, 3, 3) float64, pixels of `images`.
        stamps: (N,) int64 nanoseconds.
        poses: (N, 4, 4) float64 camera-to-world in metres; NaN where unknown.
        dense: whether the depth is known at every pixel of every frame.
        depths: (N, H, W) float32 metres, NaN unknown, +inf sky; None where the source has none.
        anchors: (N, H, W) float16, inverse depth by the initial weights; None for recipes that do
            not train depth.
        probabilities: (N, h, w, 19) uint8, class probabilities in 255ths; None where not stored.
        points: (N, P, 3) float32, column and row in pixels, and depth of triangulated points; None
            where not stored. See `points.table`.
        teachers: (N, H, W) float32, inverse depth by the teacher, in its own scale and shift; None
            without one.
    """

    source: str
    names: list[str]
    files: list[tuple[str, str]]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    stamps: NDArray[np.int64]
    poses: NDArray[np.float64]
    dense: bool = False
    depths: NDArray[np.float32] | None = None
    anchors: NDArray[np.float16] | None = None
    probabilities: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None
    teachers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.images.shape[2], self.images.shape[1]

    @property
    def posed(self) -> bool:
        """Whether every frame has a recorded pose."""
        return bool(np.isfinite(self.poses).all())

    def motion(self, first: int, second: int) -> NDArray[np.float64]:
        """T_second_from_first in metres, (4, 4); NaN where a pose is unknown."""
        return relative(self.poses[first], self.poses[second])

    def anchor(self, index: int) -> NDArray[np.float32]:
        """(H, W) inverse depth of a frame by the initial weights."""
        assert self.anchors is not None, f"{self.source}: prepared without a depth network"
        return np.array(self.anchors[index], np.float32)


class FrameWriter:
    """Writes the arrays frame by frame.

    It appends to plain files instead of memory maps: on a full disk, a write to a memory map ends
    the process with a signal instead of an error.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._headers: dict[str, dict[str, Any]] = {}

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Append the values of one frame to array `name`. Raises OSError."""
        values = np.asarray(values, order="C")
        if name not in self._files:
            file = self._files[name] = (self._folder / f"{name}.npy").open("wb")
            self._headers[name] = {
                "descr": np.lib.format.dtype_to_descr(values.dtype),
                "fortran_order": False,
                "shape": (0, *values.shape),
            }
            np.lib.format.write_array_header_1_0(file, self._headers[name])
        self._files[name].write(values.tobytes())

    def close(self, meta: dict[str, Any]) -> None:
        """Close the arrays, then write `meta`, which marks them as complete. Raises OSError."""
        for name, file in self._files.items():
            # numpy leaves room in the header for the first axis to grow.
            header = self._headers[name]
            file.seek(0)
            np.lib.format.write_array_header_1_0(
                file, {**header, "shape": (len(meta["names"]), *header["shape"][1:])}
            )
            file.close()
        (self._folder / META).write_text(json.dumps(meta), encoding="utf-8")


def open_prepared(folder: Path, source: str) -> PreparedFrames:
    """Open the arrays of a folder that a `FrameWriter` wrote; `source` is what the user typed.

    Raises:
        SourceError: a file is missing or damaged.
    """

    def array(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r")

    try:
        optional = [n for n in OPTIONAL if (folder / f"{n}.npy").is_file()]
        meta = read_json(folder / META)
        return PreparedFrames(
            source,
            meta["names"],
            [(digest, path) for digest, path in meta["files"]],
            array("images"),
            array("labels"),
            np.array(array("intrinsics")),
            np.array(array("stamps")),
            np.array(array("poses")),
            meta["dense"],
            **{name: array(name) for name in optional},
        )
    except (OSError, DocumentError, ValueError, KeyError, TypeError, EOFError) as error:
        raise SourceError(f"{folder}: damaged ({error}); remove it and start again") from error
