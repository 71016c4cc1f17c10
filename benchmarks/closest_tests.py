# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin for mutation testing: run the tests that are closest to a mutant, and first.

mutmut gives all tests that reach a mutant's function, in no order: many of them process whole
streams of frames. The closest ones reach few other functions of the package. Files come in the
order of the functions that their tests reach on average, each file in one piece so that its
fixtures are made once. A mutant gets `SHARE` of the time of all tests, and one test at least.
The run without a mutant gets one test of each file: all passed when mutmut timed them.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

STATISTICS = Path("mutmut-stats.json")
"""What mutmut knows of the tests, in the folder where it runs them."""
SHARE = 0.15


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mutant = os.environ.get("MUTANT_UNDER_TEST", "")
    if not STATISTICS.is_file() or (mutant and "__mutmut_" not in mutant):
        return
    known = json.loads(STATISTICS.read_text(encoding="utf-8"))
    seconds: dict[str, float] = known["duration_by_test"]
    tests_of_functions: dict[str, list[str]] = known["tests_by_mangled_function_name"]
    reached = Counter(test for tests in tests_of_functions.values() for test in tests)
    files = defaultdict(list)
    for item in sorted(items, key=lambda item: seconds[item.nodeid]):
        files[item.nodeid.partition("::")[0]].append(item)

    def distance(file: str) -> float:
        return sum(reached[item.nodeid] for item in files[file]) / len(files[file])

    if not mutant:
        items[:] = [tests[0] for tests in files.values()]
        return
    items.clear()
    left = SHARE * sum(seconds.values())
    for item in (item for file in sorted(files, key=distance) for item in files[file]):
        if left > 0 or not items:
            items.append(item)
        left -= seconds[item.nodeid]
