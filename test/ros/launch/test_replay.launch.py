# SPDX-License-Identifier: Apache-2.0
"""replay.launch.py with /clock: recorded stamps, and nodes with use_sim_time.

Run by launch_test FILE, and by pytest and colcon test through test_ros2_launch.py.
How a replay ends is tested there too.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

import launch_testing
import ros_messages
import ros_peer
from launched import ended_in_order, launched
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from depth_recog.datasets.sources import open_source

SOURCE = "synthetic:street?width=160&height=64&rate=10&frames=8"


def generate_test_description():
    arguments = {"source": SOURCE, "clock": "true", "loop": "true", "rate": "5"}
    return launched("replay.launch.py", arguments)


class TestWhileItRuns(unittest.TestCase):
    """The running system, with a peer."""

    def test_the_recorded_time(self):
        peer = ros_peer.Peer("")
        try:
            peer.listen({"depth/image_rect": Image, "image": Image, "/clock": Clock})
            recorded = [frame.stamp_ns for frame in open_source(SOURCE)]
            depth, clock = peer.heard["depth/image_rect"], peer.heard["/clock"]
            peer.wait(lambda: len(depth) >= 4 and len(clock) >= 4, "depth images and times")
            images = peer.heard["image"]
            self.assertTrue({ros_messages.stamp_ns(m) for m in [*images, *depth]} <= set(recorded))
            clocks = {m.clock.sec * 10**9 + m.clock.nanosec for m in clock}
            self.assertTrue(clocks <= set(recorded))
        finally:
            peer.close()


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """The state after SIGINT."""

    def test_both_nodes_ended_in_order(self, proc_info, proc_output):
        ended_in_order(proc_info, proc_output, 2)
