# SPDX-License-Identifier: Apache-2.0
"""Keeps the tests' ROS traffic on this machine and away from any robot's."""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # each has a core

import torch

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Fewer than 102 domains are usable; the process id keeps two test runs, and two workers, apart.
if "PYTEST_XDIST_WORKER" in os.environ or "ROS_DOMAIN_ID" not in os.environ:
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
torch.manual_seed(0)
# A run in the background inherits that it is ignored; the tests are about what it does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# For launch_test, which test_ros2_launch.py runs.
collect_ignore = ["ros/launch"]
