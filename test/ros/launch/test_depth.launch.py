# SPDX-License-Identifier: Apache-2.0
"""depth.launch.py with a source, a namespace, remapped topics and a parameters file.

Run by launch_test FILE, and by pytest and colcon test through test_ros2_launch.py.
"""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

import launch_testing
import ros_peer
from launched import ended_in_order, launched
from sensor_msgs.msg import CameraInfo, Image

# The defaults of launch arguments must not override values of this file.
PARAMETERS = """
/**:
  ros__parameters:
    depth_encoding: 16UC1
    max_depth: 40.0
    weights: depth-street
"""


def generate_test_description():
    folder = tempfile.mkdtemp(prefix="depth_recog_launch_")
    file = Path(folder) / "mine.yaml"
    file.write_text(PARAMETERS, encoding="utf-8")
    arguments = {
        "source": "synthetic:street?width=160&height=64&rate=10&frames=20",
        "namespace": "robot",
        "image": "front/image_raw",
        "params_file": str(file),
        "log_level": "warn",
    }
    return launched("depth.launch.py", arguments)


class TestWhileItRuns(unittest.TestCase):
    """The running system, with a peer in its namespace."""

    @classmethod
    def setUpClass(cls):
        cls.peer = ros_peer.Peer("robot")

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()

    def test_depth_comes_of_the_remapped_topics(self):
        peer = self.peer
        peer.listen({"depth/image_rect": Image, "depth/camera_info": CameraInfo})
        peer.wait(lambda: len(peer.heard["depth/image_rect"]) >= 3, "depth images")
        image = peer.heard["depth/image_rect"][0]
        self.assertEqual((image.width, image.height), (160, 64))
        self.assertEqual(image.encoding, "16UC1")
        self.assertEqual(image.header.frame_id, "camera_optical_frame")
        names = {name for name, _ in peer.node.get_topic_names_and_types()}
        self.assertIn("/robot/front/image_raw", names)
        self.assertNotIn("/robot/image", names)

    def test_the_nodes_are_where_they_should_be(self):
        peer = self.peer
        wanted = {("depth_node", "/robot"), ("camera_node", "/robot")}
        peer.wait(
            lambda: wanted <= set(peer.node.get_node_names_and_namespaces()), f"nodes {wanted}"
        )

    def test_the_parameters_are_the_files(self):
        from rcl_interfaces.srv import GetParameters

        names = ["max_depth", "depth_encoding", "weights", "min_depth", "use_sim_time"]
        request = GetParameters.Request(names=names)
        values = self.peer.call("depth_node/get_parameters", GetParameters, request).values
        self.assertEqual(values[0].double_value, 40.0)
        self.assertEqual(values[1].string_value, "16UC1")
        self.assertEqual(values[2].string_value, "depth-street")
        self.assertEqual(values[3].double_value, 0.1)
        self.assertIs(values[4].bool_value, False)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """The state after SIGINT."""

    def test_both_nodes_ended_in_order(self, proc_info, proc_output):
        ended_in_order(proc_info, proc_output, 2)
