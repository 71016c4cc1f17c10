# SPDX-License-Identifier: Apache-2.0
"""Clips that the tests of the recognizer share."""

from __future__ import annotations

import pytest
from gate_clips import Clip


@pytest.fixture(scope="session")
def clips() -> dict[str, Clip]:
    numbers = {"parked": 8, "lead_car": 8, "crossing": 8, "oncoming": 6, "empty": 6}
    return {scene: Clip(scene, range(20, 20 + n)) for scene, n in numbers.items()}
