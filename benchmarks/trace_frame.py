# SPDX-License-Identifier: Apache-2.0
"""Which files of the package does one frame pass through, in which order?

python benchmarks/trace_frame.py [SOURCE] [--frame 10] [--gate object] [--json FILE]

Two tables: `step` is one `Recognizer.step`; `frame` is what the depth node does with an image apart
from ROS: `Pipeline.prepare`, `Pipeline.recognize`, and the depth, mask and decision at the input's
size. Files come in the order of their first call. `calls in` counts calls from another file of the
package; their sum is how often a reader who follows the frame changes the file. Earlier frames are
processed first, so that the frame has a partner.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from common import parser_of, recording, report

import depth_recog
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.pipeline import Pipeline

PACKAGE = str(Path(depth_recog.__file__).parent)


class Trace:
    """The calls between files of the package while a function runs.

    Attributes:
        calls: into each file from another one, in the order of the first.
        entries: the first function that was called in each file.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self.calls: Counter[str] = Counter()
        self.entries: dict[str, str] = {}
        sys.setprofile(self._note)
        try:
            function()
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        file = file_of(frame)
        if event != "call" or not file:
            return
        caller = frame.f_back
        while caller is not None and not file_of(caller):
            caller = caller.f_back
        if caller is None or file_of(caller) != file:
            self.calls[file] += 1
            code = frame.f_code
            self.entries.setdefault(file, getattr(code, "co_qualname", code.co_name))

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"order": number, "file": file, "entered by": self.entries[file], "calls in": count}
            for number, (file, count) in enumerate(self.calls.items(), 1)
        ]
        return [*rows, {"file": f"{len(rows)} files", "calls in": sum(self.calls.values())}]


def file_of(frame: FrameType) -> str:
    """A frame's file within the package; empty for other files."""
    name = frame.f_code.co_filename
    return name[len(PACKAGE) + 1 :] if name.startswith(PACKAGE) else ""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("source", nargs="?", default="synthetic:street?seed=7")
    parser.add_argument("--frame", type=int, default=10)
    parser.add_argument("--gate", choices=GATES, default=Settings.gate)
    options = parser.parse_args()
    sequence, _ = recording(options.source)
    assembly = assemble(NetworkOptions(device="cpu"), Settings(gate=options.gate))
    pipeline = Pipeline(assembly)
    *earlier, one, other = (sequence[index] for index in range(options.frame + 2))
    for frame in earlier:
        pipeline.process(frame)
    prepared = pipeline.prepare(one.name, one.stamp_ns, one.image)
    step = Trace(
        lambda: assembly.recognizer.step(
            prepared.name, prepared.stamp_ns, prepared.image, prepared.view.network
        )
    )

    def whole() -> object:
        image = pipeline.prepare(other.name, other.stamp_ns, other.image)
        maps = pipeline.recognize(image).at_input_size
        return maps.depth(), maps.labels, maps.dynamic, maps.moving

    report(options, {"step": step.rows(), "frame": Trace(whole).rows()})


if __name__ == "__main__":
    main()
