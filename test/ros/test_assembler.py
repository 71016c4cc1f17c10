# SPDX-License-Identifier: Apache-2.0
"""What the assembler does with a change that was accepted and then cannot be used."""

import pytest

pytest.importorskip("rclpy")

from depth_recog.nodes.runtime.assembler import FAILED, Assembler
from depth_recog.nodes.runtime.depth_parameters import SPECS


class Log:
    """Keeps the errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def info(self, text: str) -> None: ...

    def error(self, text: str) -> None:
        self.errors.append(text)


def test_a_change_that_cannot_be_used_leaves_the_networks_in_use() -> None:
    """As when the mask weights' file is replaced between the check and the effect."""
    log, values = Log(), {spec.name: spec.default for spec in SPECS}
    assembler = Assembler(log)
    assembler.configure(values)
    try:
        before = assembler.current
        changed = values | {"dynamic_classes": ["dragon"]}
        assembler.apply(frozenset({"dynamic_classes"}), changed)
        assert assembler.current is before
        assert assembler.state == FAILED
        assert "dragon" in assembler.why
        assert log.errors == [f"{assembler.why}; the previous networks stay in use"]
    finally:
        assembler.release()
