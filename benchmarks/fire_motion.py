# SPDX-License-Identifier: Apache-2.0
"""Does the depth node stay in order while a broken robot tells its motion, and find metres after?

python benchmarks/fire_motion.py [--minutes 5] [--scale odometry] [--seed 0] [--json FILE]

Odometry, speeds and GPS fixes that are not finite, not on Earth, of any time, of frames with a
mebibyte's name, 1000 a second, or jump; meanwhile images at 10 Hz. Then honest speeds.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from typing import Any

from common import parser_of, report, resident_mb, use_local_ros

use_local_ros()

import ros_messages
import ros_processes as rp
from geometry_msgs.msg import TwistStamped
from hostile_camera import Target
from hostile_motion import MotionFire
from robot import DEPTH, INFO, NODE
from sensor_msgs.msg import CameraInfo, Image

SPEED = 8.0
HONEST_FRAMES = 100


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--scale", default="odometry", choices=("odometry", "auto"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the nodes must end too
    height = {"camera_height": 1.65} if options.scale == "auto" else {}
    process = rp.start_node(NODE, "motion", {"device": "cpu", "scale": options.scale} | height)
    target = Target("motion", process)
    try:
        target.advertise()
        target.listen({INFO: CameraInfo, DEPTH: Image})
        fire = MotionFire(target, options.seed)
        target.wait(fire.connected, "the subscriptions to the robot's motion")
        target.repeat(target.image, lambda: target.heard[INFO], "the first image")
        memory = [resident_mb(process.popen.pid)]
        metres, images = 0, 0
        for _ in range(round(options.minutes)):
            images += _minute(target, fire, random.Random(options.seed + images))
            metres += len(target.heard[DEPTH])
            memory.append(resident_mb(process.popen.pid))
            for heard in target.heard.values():
                heard.clear()
        target.settled()
        row = {
            "scale": options.scale,
            "seed": options.seed,
            "hostile messages": fire.sent,
            "images": images,
            **target.counts(),
            "reports": target.reports,
            "reports that do not add up": len(target.wrong),
            "depth images in metres": metres,
            "scale reason": target.diagnostics["scale reason"],
            "memory after each minute (MB)": " ".join(f"{mb:.0f}" for mb in memory),
            "frames of honest speeds until metres": _honest(target, fire.publishers["speed"]),
            "callback failures": int(target.diagnostics["callback failures"]),
        }
        process.end()
    finally:
        target.close()
        process.kill()
    report(options, [row])


def _minute(target: Target, fire: MotionFire, dice: random.Random) -> int:
    """Fire for a minute; return the number of images."""
    begin, images = time.monotonic(), 0
    while (passed := time.monotonic() - begin) < 60:
        dice.choice(fire.volleys)()
        while images < 10 * passed:
            target.image(images % 30)
            images += 1
        target.executor.spin_once(timeout_sec=0.05)
    return images


def _honest(target: Target, speeds: Any) -> int:
    """Drive on with honest speeds; return the number of frames until there are metres, or 0."""
    target.new_stamp(5 * 10**9)
    target.heard[DEPTH].clear()
    for index in range(1, HONEST_FRAMES):
        stamp = target.new_stamp()
        message = TwistStamped()
        message.header.stamp = ros_messages.stamp_of(stamp)
        message.twist.linear.x = SPEED
        speeds.publish(message)
        target.image(index, stamp=stamp)
        target.of(INFO, stamp)
        if target.heard[DEPTH]:
            return index
    return 0


if __name__ == "__main__":
    main()
