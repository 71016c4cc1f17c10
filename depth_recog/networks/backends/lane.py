# SPDX-License-Identifier: Apache-2.0
"""One thread in which the networks run on a processor, in the order in which they are started.

Each network uses all cores, so two at once would only delay the one that is needed first. The
caller goes on meanwhile: runtimes and OpenCV release Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_executor = ThreadPoolExecutor(1, "networks")


def start(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
    """Start work; returns a function that waits for its result, or raises its error."""
    return _executor.submit(work, *args, **kwargs).result
