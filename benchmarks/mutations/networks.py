# SPDX-License-Identifier: Apache-2.0
"""Mutants of networks and weights."""

from mutations.kinds import Mutant

MUTANTS = (
    Mutant(
        "weights: header in any order",
        "networks/weights.py",
        "sort_keys=True, ",
        "",
        ("weights",),
    ),
)
