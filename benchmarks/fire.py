# SPDX-License-Identifier: Apache-2.0
"""Is a good camera served after a broken publisher on the same topic, and does the account hold?

python benchmarks/fire.py [--minutes 10] [--images 300] [--seed 0] [--json FILE]

Fire: images whose size, calibration or frame changes every time, 1000 a second, 1x1 to 8K, without
or with a wrong camera_info. Then so many good images at 10 Hz. In every report of the node,
received = published + dropped + rejected + unmatched + idle.
"""

from __future__ import annotations

import signal
import sys

from common import parser_of, report, resident_mb, use_local_ros

use_local_ros()

import ros_processes as rp
from hostile_camera import Fire, Target
from robot import NODE


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the nodes must end too
    process = rp.start_node(NODE, "fire", {"device": "cpu"})
    target = Target("fire", process)
    fire = Fire(target, options.seed)
    try:
        target.begin()
        target.steady(50, 10.0)
        before = resident_mb(process.popen.pid)
        fire(60 * options.minutes, largest=True)
        memory = resident_mb(process.popen.pid)
        seconds = target.recover()
        good = target.steady(options.images, 10.0)
        row = {
            "minutes": options.minutes,
            "seed": options.seed,
            "hostile images sent": fire.sent,
            **target.counts(),
            "reports": target.reports,
            "reports that do not add up": len(target.wrong),
            "until the first depth (s)": round(seconds, 1),
            "good images": options.images,
            "depth images": good,
            "memory before (MB)": round(before),
            "after the fire (MB)": round(memory),
            "after the good images (MB)": round(resident_mb(process.popen.pid)),
            "callback failures": int(target.diagnostics["callback failures"]),
        }
        process.end()
    finally:
        target.close()
        process.kill()
    report(options, [row])


if __name__ == "__main__":
    main()
