# SPDX-License-Identifier: Apache-2.0
"""Settings of the property tests: the same examples in every run, without a limit on time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile(
    "repeatable", deadline=None, max_examples=60, derandomize=True, database=None
)
settings.load_profile("repeatable")
