# SPDX-License-Identifier: Apache-2.0
"""Write the SROS 2 policies in config/sros2 from what the running nodes use.

python benchmarks/sros2_policies.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from common import use_local_ros

use_local_ros()

import policies
import policy_nodes
from deviation_weights import with_head

_QUIET_S = 5.0


def main() -> None:
    for name in policy_nodes.VARIANTS:
        more = {"folder": tempfile.mkdtemp()} if name == "trainer_node" else {}
        if name == "depth_node":
            more = {"weights": str(with_head(Path(tempfile.mkdtemp())))}
        seen: list[tuple[float, policies.Used]] = []

        def quiet(used: policies.Used, seen: list[tuple[float, policies.Used]] = seen) -> bool:
            """Whether nothing has been added for some seconds."""
            if not seen or seen[-1][1] != used:
                seen.append((time.monotonic(), used))
            return time.monotonic() - seen[-1][0] > _QUIET_S

        used = policy_nodes.used(name, quiet, **more)
        policies.write(name, used)
        print(name, {verb: len(names) for (_, verb), names in used.items()})


if __name__ == "__main__":
    main()
