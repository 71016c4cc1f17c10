# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch` again and again: started, seen at work, ended by SIGINT, as a table.

. install/setup.bash && python benchmarks/launches.py [--times 20] [--source SOURCE]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "test" / "support"))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))

import ros_processes as rp
from sensor_msgs.msg import Image

SOURCE = "synthetic:street?width=160&height=64&rate=10&frames=20"


def trial(source: str, number: int) -> tuple[float, float, str]:
    """One launch: seconds to the third depth image, seconds to its end, what was wrong."""
    command = ["ros2", "launch", "depth_recog", "depth.launch.py"]
    namespace = f"launch_{os.getpid()}_{number}"
    peer = rp.Peer(namespace)
    start = time.monotonic()
    process = rp.Process([*command, f"source:={source}", f"namespace:={namespace}"])
    try:
        peer.listen({"depth/image_rect": Image})
        heard = peer.heard["depth/image_rect"]
        peer.process = process
        peer.wait(lambda: len(heard) >= 3, "three depth images")
        first = time.monotonic() - start
        start = time.monotonic()
        code = process.interrupt(20)
        seconds = time.monotonic() - start
        text = process.stdout + process.stderr
        good = code == 0 and text.count("process has finished cleanly") == 2
        if good and "Traceback" not in text:
            return first, seconds, ""
        return first, seconds, process.story()
    except AssertionError as error:
        return float("nan"), float("nan"), str(error)
    finally:
        if process.popen.poll() is None:
            process.interrupt(20)
        peer.close()


def main() -> int:
    """Print the table; 1 where a launch was not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    # A shell's background job ignores SIGINT, and so would the launches.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trials = [trial(options.source, n) for n in range(options.times)]
    for _, _, wrong in trials:
        if wrong:
            print(wrong, file=sys.stderr)
    good = [(first, end) for first, end, wrong in trials if not wrong]
    print("| launches | right | to the third depth image | from SIGINT to the end |")
    print("|---|---|---|---|")
    if good:
        firsts, ends = zip(*good, strict=True)
        print(
            f"| {len(trials)} | {len(good)} "
            f"| {statistics.median(firsts):.1f} s (longest {max(firsts):.1f}) "
            f"| {statistics.median(ends):.1f} s (longest {max(ends):.1f}) |"
        )
    return int(len(good) < len(trials))


if __name__ == "__main__":
    sys.exit(main())
