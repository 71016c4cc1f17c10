# SPDX-License-Identifier: Apache-2.0
"""Keeps the tests' ROS traffic on this machine, and away from any robot's and any other test's."""

import os
import signal
from collections.abc import Iterator

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # each has a core

import pytest
import ros_domain
import torch

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
torch.manual_seed(0)
# A run in the background inherits that it is ignored; the tests are about what it does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# For launch_test, which test_ros2_launch.py runs.
collect_ignore = ["ros/launch"]


@pytest.fixture(scope="module", autouse=True)
def own_ros_domain() -> Iterator[None]:
    """Give each file its own domain: killed nodes of the file before are not seen there."""
    number = ros_domain.claim()
    os.environ["ROS_DOMAIN_ID"] = str(number)
    yield
    ros_domain.release(number)
