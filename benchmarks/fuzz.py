# SPDX-License-Identifier: Apache-2.0
"""Mutated files through every door: none may end otherwise than in a result or an error of ours.

python benchmarks/fuzz.py --door all --inputs 10000 --seed 1 --json out/fuzz.json

The inputs of a door run in processes of their own, so that one that crashes or hangs is counted and
the others go on; with the same FILE an interrupted run continues. Failed inputs are kept in --keep.
The status is 1 if an input failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "support")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

BATCH = 2500
MEMORY = 8 * 2**30
"""Address space of a process, bytes."""
QUIET_SECONDS = 300
"""Without an outcome for so long, a process is ended."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--door", default="all", help="name of a door, or all")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for inputs that failed")
    parser.add_argument("--batch", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.batch:
        return _batch(options)
    from depth_recog import environment

    environment.prepare()
    names = _names() if options.door == "all" else [options.door]
    figures = json.loads(options.json.read_text()) if options.json.is_file() else {}
    figures |= {"seed": options.seed, "commit": _commit()}
    for name in names:
        _run(name, figures.setdefault("doors", {}).setdefault(name, {}), figures, options)
    failed = sum(len(row["failures"]) for row in figures["doors"].values())
    print(f"{failed} inputs failed")
    return int(failed > 0)


def _run(name: str, row: dict[str, Any], figures: dict[str, Any], options: Any) -> None:
    row.setdefault("inputs", 0)
    row.setdefault("answers", {})
    row.setdefault("failures", [])
    row.setdefault("longest_s", 0.0)
    while row["inputs"] < options.inputs:
        begin = row["inputs"]
        end = min(begin + BATCH, options.inputs)
        command = [sys.executable, __file__, "--door", name, "--seed", str(options.seed)]
        command += ["--json", str(options.json), "--batch", str(begin), str(end)]
        command += ["--keep", str(options.keep)] if options.keep else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        answers: Counter[str] = Counter(row["answers"])
        for line in process.stdout:
            if not line.startswith(b"{"):
                continue
            one = json.loads(line)
            row["inputs"] = one["index"] + 1
            answers[one["answer"]] += 1
            row["longest_s"] = max(row["longest_s"], one["seconds"])
            if one["answer"] not in ("read", "refused"):
                row["failures"].append(one)
        status = process.wait()
        if row["inputs"] < end:
            # It ended within an input, which is counted as what ended it.
            ended = signal.Signals(-status).name if status < 0 else f"status {status}"
            answers[ended] += 1
            row["failures"].append({"index": row["inputs"], "answer": ended, "detail": ""})
            row["inputs"] += 1
        row["answers"] = dict(answers)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {row['inputs']} inputs, {row['answers']}", flush=True)


def _batch(options: Any) -> int:
    """The work of one process: a line of JSON for each input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from depth_recog import environment

    environment.prepare()
    import cv2
    from fuzz.running import put, run

    cv2.setNumThreads(1)
    logging.disable(logging.CRITICAL)
    door = _doors()[options.door]
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        for outcome, files in run(door, Path(folder), options.seed, range(*options.batch)):
            signal.alarm(QUIET_SECONDS)
            if outcome.failed and options.keep:
                put(files, options.keep / f"{door.name}-{options.seed}-{outcome.index}")
            detail = outcome.detail if outcome.failed else ""
            about = {"index": outcome.index, "answer": outcome.answer, "detail": detail}
            print(json.dumps(about | {"seconds": round(outcome.seconds, 3)}), flush=True)
    return 0


def _doors() -> dict[str, Any]:
    from fuzz import motion, networks, sources

    return {door.name: door for door in (*sources.DOORS, *motion.DOORS, *networks.DOORS)}


def _names() -> list[str]:
    return list(_doors())


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
