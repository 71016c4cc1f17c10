# SPDX-License-Identifier: Apache-2.0
"""The command depth-recog, run as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def command(
    *arguments: str | Path, limit: float = 90, without: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, in a pipe; as if a package were not installed, where one is named."""
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
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def fails(*arguments: str | Path, without: str = "") -> str:
    """Ends with 1 and exactly one line, which is returned."""
    result = command(*arguments, without=without)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    # OpenCV 4.6 (Ubuntu 24.04) lets libpng write to stderr.
    lines = [line for line in result.stderr.splitlines() if not line.startswith("libpng ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"depth-recog {arguments[0]}: ")
    return lines[0]
