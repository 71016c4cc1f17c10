# SPDX-License-Identifier: Apache-2.0
"""Mutants of the synthetic street."""

from mutations.kinds import Mutant

MUTANTS = (
    Mutant(
        "synthetic boxes: speed over the second after the frame",
        "datasets/synthetic/things.py",
        "self.place(time - 0.5), self.place(time + 0.5)",
        "self.place(time - 0.05), self.place(time + 0.95)",
        ("synthetic_boxes",),
    ),
    Mutant(
        "synthetic boxes: middle of the box",
        "datasets/synthetic/things.py",
        "(self.low + self.high) / 2",
        "(self.low + self.high) * 0.49",
        ("synthetic_boxes",),
    ),
    Mutant(
        "synthetic boxes: parked cars of another block",
        "datasets/synthetic/view.py",
        "b.thing + offset",
        "b.thing",
        ("synthetic_boxes",),
    ),
)
