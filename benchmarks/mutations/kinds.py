# SPDX-License-Identifier: Apache-2.0
"""What a mutant is, and short forms for those of one layer."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """`old`, which stands once in `file` (below depth_recog/), becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def method(name: str, module: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of a module of the method, with the tests that should catch it, in order."""
    return Mutant(name, f"method/{module}.py", old, new, tests or (module,))


def bags(name: str, module: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of the reader of bags."""
    return Mutant(name, f"datasets/bags/{module}.py", old, new, tests or ("rosbag",))


def evaluation(name: str, module: str, old: str, new: str, test: str) -> Mutant:
    """A mutant of a module of the evaluation, with the test that should catch it."""
    return Mutant(name, f"evaluation/{module}.py", old, new, (test,))


def training(name: str, module: str, old: str, new: str, tests: str) -> Mutant:
    """A mutant of a module of the training, with the test file that should catch it."""
    return Mutant(name, f"training/{module}.py", old, new, (f"training_{tests}",))
