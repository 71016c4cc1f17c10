# SPDX-License-Identifier: Apache-2.0
"""depth.launch.py with trainer:=true: both nodes work together, and end in order.

Run by launch_test FILE, and by pytest and colcon test through test_ros2_launch.py.
"""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

import launch_testing
import ros_peer
from launched import ended_in_order, launched
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

FOLDER = Path(tempfile.mkdtemp(prefix="depth_recog_trainer_")) / "road"


def generate_test_description():
    arguments = {
        "source": "synthetic:street?width=160&height=64&rate=5&frames=40",
        "namespace": "robot",
        "image": "front/image_raw",
        "camera_info": "front/camera_info",
        "trainer": "true",
        "folder": str(FOLDER),
    }
    return launched("depth.launch.py", arguments)


class TestWhileItRuns(unittest.TestCase):
    """The running system, with a peer in its namespace."""

    @classmethod
    def setUpClass(cls):
        cls.peer = ros_peer.Peer("robot")
        cls.peer.listen({"depth/image_rect": Image})

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()

    def test_the_trainer_sees_images_and_the_depth_node(self):
        peer, seen = self.peer, {}

        def ready():
            if "images received" in peer.diagnostics:
                seen.update(peer.diagnostics)
            received = int(seen.get("images received", 0))
            return received > 5 and seen.get("depth node") == "uses the active weights"

        peer.wait(ready, f"images, and confirmed weights: {seen}")
        self.assertTrue((FOLDER / "lineage.json").is_file())
        self.assertEqual(seen["folder"], str(FOLDER))

    def test_services(self):
        for name, expected in (("pause", True), ("rollback", False), ("resume", True)):
            answer = self.peer.call(f"trainer_node/{name}", Trigger, Trigger.Request(), True)
            self.assertIs(answer.success, expected, answer.message)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """The state after SIGINT."""

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(FOLDER.parent, ignore_errors=True)

    def test_all_nodes_ended_in_order(self, proc_info, proc_output):
        ended_in_order(proc_info, proc_output, 3)
