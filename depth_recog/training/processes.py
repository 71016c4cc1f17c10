# SPDX-License-Identifier: Apache-2.0
"""What the first of several processes does alone, and what all of them must know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lightning_fabric import Fabric

from depth_recog.errors import DepthRecogError, TrainingError

T = TypeVar("T")


def first_alone(fabric: Fabric, work: Callable[[], T]) -> T | None:
    """Do something on the first process while the others wait.

    Args:
        fabric: launched.
        work: what the first process does.

    Returns:
        On the first process what the work gives, elsewhere None.

    Raises:
        KeyboardInterrupt: the work was interrupted, on all processes.
        DepthRecogError: the work failed; on the other processes a `TrainingError` that says where
            to look, so that they end too instead of waiting for one that is gone.
    """
    result: T | None = None
    failure: DepthRecogError | KeyboardInterrupt | None = None
    if fabric.is_global_zero:
        try:
            result = work()
        except (DepthRecogError, KeyboardInterrupt) as error:
            failure = error
    interrupted = isinstance(failure, KeyboardInterrupt)
    failed, interrupted = fabric.broadcast((failure is not None, interrupted))
    if failure is not None:
        raise failure
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise TrainingError("ends, since the first process failed; it says why")
    return result
