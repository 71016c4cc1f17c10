# SPDX-License-Identifier: Apache-2.0
"""Breaks the method in one place at a time and asks whether the tests notice.

Every mutation is one string replaced by another in a copy of the package; the working tree is not
touched. Run from the repository's root:

    python benchmarks/mutants.py              # all of them, as a Markdown table
    python benchmarks/mutants.py "hat: sign"  # those whose names or files contain a text
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutations import MUTANTS
from mutations.kinds import Mutant

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300


def run_tests(copy: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails in a copy; None when all pass."""
    files = [f"test/test_{name}.py" for name in tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # The copy lies elsewhere: real data beside the repository is still found.
    environment.setdefault("DEPTH_RECOG_DATA", str(ROOT.parent / "shared" / "data"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", *files]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) test/(\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        raise SystemExit(f"pytest itself failed:\n{done.stdout}{done.stderr}")
    return found[1]


def try_mutant(mutant: Mutant, copy: Path) -> str | None:
    """Mutate the copy, run the tests, and put it right again."""
    path = copy / "depth_recog" / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times")
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return run_tests(copy, mutant.tests)
    finally:
        path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="?", default="", help="only mutants whose names or files contain this"
    )
    only = parser.parse_args().names
    chosen = [m for m in MUTANTS if only in m.name or only in m.file]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(
            ROOT / "depth_recog", copy / "depth_recog", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(ROOT / "test", copy / "test", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for name in sorted({t for m in chosen for t in m.tests}):
            failed = run_tests(copy, (name,))
            if failed:
                raise SystemExit(f"{failed} fails without any mutation")
        print("| mutant | file | caught by |\n|---|---|---|")
        began = time.monotonic()
        for mutant in chosen:
            caught = try_mutant(mutant, copy)
            survivors += caught is None
            by = "**SURVIVED**" if caught is None else f"`{caught}`"
            print(f"| {mutant.name} | {mutant.file} | {by} |", flush=True)
    seconds = time.monotonic() - began
    print(f"\n{len(chosen)} mutants, {survivors} survived, {seconds:.0f} s", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
