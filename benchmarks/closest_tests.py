# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin for mutation testing: run the tests that are closest to a mutant, and first.

mutmut gives all tests that reach a mutant's function, in no order: many of them process whole
streams of frames. The closest ones reach few other functions of the package. Files come in the
order of the functions that their tests reach on average, each file in one piece so that its
fixtures are made once. A mutant gets `SHARE` of the time of all tests, and one test at least.
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
    if "__mutmut_" not in os.environ.get("MUTANT_UNDER_TEST", ""):
        return
    known = json.loads(STATISTICS.read_text(encoding="utf-8"))
    seconds: dict[str, float] = known["duration_by_test"]
    tests_of_functions: dict[str, list[str]] = known["tests_by_mangled_function_name"]
    reached = Counter(test for tests in tests_of_functions.values() for test in tests)
    files = defaultdict(list)
    for item in items:
        files[item.nodeid.partition("::")[0]].append(item)
    items.clear()
    left = SHARE * sum(seconds.values())

    def distance(file: str) -> float:
        return sum(reached[item.nodeid] for item in files[file]) / len(files[file])

    for file in sorted(files, key=distance):
        for item in sorted(files[file], key=lambda item: seconds[item.nodeid]):
            if left > 0 or not items:
                items.append(item)
            left -= seconds[item.nodeid]
