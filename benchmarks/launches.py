# SPDX-License-Identifier: Apache-2.0
"""How long does `ros2 launch` take to the third depth image, and from SIGINT to its end?

. install/setup.bash && python benchmarks/launches.py [--times 20] [--source SOURCE] [--json FILE]

Exits with 1 where a launch failed: no three depth images, an exit status other than 0, a traceback,
or a process that did not finish cleanly.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time

from common import label_of, parser_of, report, use_local_ros

use_local_ros()

import ros_peer
import ros_processes as rp
from sensor_msgs.msg import Image

SOURCE = "synthetic:street?width=160&height=64&rate=10&frames=20"
DEPTH = "depth/image_rect"


def trial(source: str, number: int) -> tuple[float, float, str]:
    """One launch: seconds to the third depth image, seconds to its end, and what failed."""
    namespace = f"launch_{os.getpid()}_{number}"
    peer = ros_peer.Peer(namespace)
    start = time.monotonic()
    command = ["ros2", "launch", "depth_recog", "depth.launch.py"]
    process = rp.Process([*command, f"source:={source}", f"namespace:={namespace}"])
    try:
        peer.process = process
        peer.listen({DEPTH: Image})
        peer.wait(lambda: len(peer.heard[DEPTH]) >= 3, "three depth images")
        begun = time.monotonic() - start
        start = time.monotonic()
        code = process.interrupt(20)
        seconds = time.monotonic() - start
        text = process.stdout + process.stderr
        clean = text.count("process has finished cleanly") == 2 and "Traceback" not in text
        return begun, seconds, "" if code == 0 and clean else process.story()
    except AssertionError as error:
        return float("nan"), float("nan"), str(error)
    finally:
        if process.popen.poll() is None:
            process.interrupt(20)
        peer.close()


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    # A background job of a shell ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trials = [trial(options.source, n) for n in range(options.times)]
    for _, _, failure in trials:
        if failure:
            print(failure, file=sys.stderr)
    good = [(begun, end) for begun, end, failure in trials if not failure]
    row = {"source": label_of(options.source), "launches": len(trials), "succeeded": len(good)}
    columns = zip(*good, strict=True)
    for name, seconds in zip(("third depth image", "SIGINT to end"), columns, strict=bool(good)):
        row |= {f"{name} p50, s": statistics.median(seconds), f"{name} max, s": max(seconds)}
    report(options, [row])
    return int(len(good) < len(trials))


if __name__ == "__main__":
    sys.exit(main())
