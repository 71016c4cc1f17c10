# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policies allow what the running nodes use, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import policies
import policy_nodes
from deviation_weights import with_head

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("name", policy_nodes.VARIANTS)
def test_a_policy_is_what_the_node_uses(name: str, tmp_path: Path) -> None:
    more = {}
    if name == "trainer_node":
        pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
        more = {"folder": str(tmp_path / "family")}
    allowed = policies.allowed(name)
    wheels = policies.without_wheels(name, allowed)

    def complete(used: policies.Used) -> bool:
        return policies.without_wheels(name, used) == wheels

    if name == "depth_node":
        more = {"weights": str(with_head(tmp_path))}  # adds a topic
    used = policy_nodes.used(name, complete, **more)
    assert policies.without_wheels(name, used) == wheels
    assert all(used[kind] <= allowed[kind] for kind in used)
    # What a workspace adds is allowed too.
    assert policies.merged(used, policies.WORKSPACE.get(name, {})) == allowed
