# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin for mutation testing: run the files with the quickest tests first.

mutmut gives the tests of a mutant in no order. This one ends most runs within the first file, and
keeps each file's tests together, so that its fixtures are made once.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

STATISTICS = Path("mutmut-stats.json")
"""mutmut's record of how long each test takes, in the folder where the tests run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seconds: Counter[str] = Counter()
    if STATISTICS.is_file():
        times = json.loads(STATISTICS.read_text(encoding="utf-8"))["duration_by_test"]
        for test, duration in times.items():
            seconds[test.partition("::")[0]] += duration
    files = [item.nodeid.partition("::")[0] for item in items]
    order = sorted(range(len(items)), key=lambda i: (seconds[files[i]], files[i]))
    items[:] = [items[i] for i in order]
