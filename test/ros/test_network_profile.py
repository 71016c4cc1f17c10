# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile for several machines; see also benchmarks/two_machines.py."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("rclpy")

import ros_processes as rp
from robot import NODE, PARAMETERS, Robot

from depth_recog.nodes.runtime.children import FASTDDS_PROFILE

pytestmark = pytest.mark.ros
PROFILE = FASTDDS_PROFILE.with_name("fastdds_network.xml")
NAMES = {"": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
IP_AND_UDP = 28


def test_a_datagram_fits_into_a_frame_of_ethernet() -> None:
    (size,) = ET.parse(PROFILE).getroot().findall(".//maxMessageSize", NAMES)
    assert int(size.text or "") + IP_AND_UDP == 1500


def test_a_node_with_it_gives_depth() -> None:
    variables = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}
    process = rp.start_node(NODE, "wired", PARAMETERS, forked=True, **variables)
    peer = Robot("wired", process)
    try:
        peer.begin()
        peer.depth_of(peer.image())
        process.end()
        assert "XML" not in process.stderr + process.stdout, process.story()
    finally:
        peer.close()
        process.kill()
