# SPDX-License-Identifier: Apache-2.0
"""The command depth-recog: called in this process, or started as a user types it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from depth_recog.cli.main import main


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the command in this process; exit status and output as of a process."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def process(
    *arguments: str | Path,
    limit: float = 200,
    without: str = "",
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command as a process that writes into pipes.

    Args:
        arguments: of the command line.
        limit: seconds until it is killed.
        without: a package that shall seem not to be installed.
        before: called in the process before the command.
    """
    entrance = ["-m", "depth_recog.cli.main"]
    if without:
        gone = f"import sys; sys.modules[{without!r}] = None"
        entrance = ["-c", f"{gone}; from depth_recog.cli.main import main; sys.exit(main())"]
    return subprocess.run(
        [sys.executable, *entrance, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        preexec_fn=before,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def misused(*arguments: str | Path) -> str:
    """Expect the usage and exit status 2; return the last line, which names the mistake."""
    result = command(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("usage: depth-recog")
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def fails(*arguments: str | Path, without: str = "") -> str:
    """Expect exit status 1, no output and one line of error, which is returned.

    Args:
        arguments: of the command line.
        without: a package that shall seem not to be installed; this takes a process.
    """
    result = process(*arguments, without=without) if without else command(*arguments)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    # OpenCV 4.6 (Ubuntu 24.04) lets libpng write to stderr.
    lines = [line for line in result.stderr.splitlines() if not line.startswith("libpng ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"depth-recog {arguments[0]}: ")
    return lines[0]
