# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def start() -> Iterator[Any]:
    """Start depth nodes, each with a robot around it; all end with the test."""
    from robot import fleet

    with fleet() as starter:
        yield starter
