# SPDX-License-Identifier: Apache-2.0
"""Options, sources, tables and result files that the benchmarks share."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError

ROOT = Path(__file__).parents[1]
PACKAGES = {"numpy": "numpy", "cv2": "opencv-python-headless", "torch": "torch"} | {
    name: name for name in ("onnxruntime", "rosbags", "rclpy")
}
"""Import name and distribution of the packages whose versions a result file records."""

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]


def parser_of(documentation: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with the option --json."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    return parser


def frames_of(text: str) -> slice:
    """The slice that A:B names; either side may be empty."""
    return slice(*(int(part) if part else None for part in text.split(":")))


def recording(source: str) -> tuple[Recording, range]:
    """Open SOURCE[@A:B]: a recording, and the indices of its frames A to B - 1.

    Raises:
        SourceError: the source is not a recording.
    """
    name, _, span = source.partition("@")
    sequence = open_source(name)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{name}: a recording is needed, with frames that can be read again")
    return sequence, range(*frames_of(span or ":").indices(len(sequence)))


def label_of(source: str) -> str:
    """A source without the folders that it lies in."""
    return source if source.startswith("synthetic") else source.rsplit("/", 1)[-1]


def report(options: argparse.Namespace, tables: Tables | Sequence[Row]) -> None:
    """Print the rows as Markdown tables, and write them to the file given by --json.

    Args:
        options: parsed by a parser of `parser_of`.
        tables: rows by the table's name, or the rows of the only table.
    """
    named = tables if isinstance(tables, Mapping) else {"results": tables}
    for name, rows in named.items():
        if rows:
            print(f"\n{name}\n" if len(named) > 1 else "")
            print(markdown(rows), flush=True)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**conditions(), "tables": named}, indent=1, default=float)
        options.json.write_text(text + "\n", encoding="utf-8")


def use_local_ros() -> None:
    """Keep ROS traffic on this machine, and make test/support importable.

    Call it before rclpy is imported.
    """
    sys.path.insert(0, str(ROOT / "test" / "support"))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))


def resident_mb(process: int | str = "self") -> float:
    """Memory that a process holds now, in megabytes (10^6 bytes)."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def markdown(rows: Sequence[Row]) -> str:
    """A table with a column for every key."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(row.get(key)) for key in columns)} |" for row in rows]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value as text: four digits, and an interval in brackets."""
    if isinstance(value, Mapping):
        return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def conditions() -> dict[str, Any]:
    """When, where and with what a benchmark ran."""
    return {
        "benchmark": Path(sys.argv[0]).stem,
        "command": " ".join(["python", *map(without_folders, sys.argv)]),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": {
            "architecture": platform.machine(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for key, name in PACKAGES.items() if key in sys.modules},
        },
    }


def without_folders(argument: str) -> str:
    """A command line's argument without what only this machine knows."""
    path = Path(argument)
    if argument == sys.argv[0]:
        return f"benchmarks/{path.name}"
    data = os.environ.get("DEPTH_RECOG_DATA", str(ROOT.parent / "shared" / "data"))
    argument = argument.replace(data.rstrip("/"), "$DEPTH_RECOG_DATA")
    return path.name if argument.startswith("/") else argument


def commit() -> str:
    """The commit's first digits, with a + where tracked files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def cpu_name() -> str:
    """The processor's model; empty where it is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
