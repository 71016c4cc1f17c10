# SPDX-License-Identifier: Apache-2.0
"""Keep the tests' ROS traffic on this machine, apart from robots and from other tests."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers share the cores

import hypothesis
import pytest
import ros_domain
import torch

# A hundred processes import the package: they need not compile it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
torch.manual_seed(0)
# Durations of single examples say nothing on a loaded machine.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")
# A shell starts background jobs with SIGINT ignored; the tests need its default handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# test_ros2_launch.py runs these with launch_test.
collect_ignore = ["ros/launch"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders first whose files take longest: then the workers end at the same time."""
    items.sort(key=lambda item: {"ros": 0, "cli": 1}.get(item.path.parent.name, 2))


def pytest_collection_finish() -> None:
    """Keep the collector from looking through what the imports of all tests have left."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def own_ros_domain() -> Iterator[None]:
    """Give each file a domain of its own, where killed nodes of another file are not seen."""
    number = ros_domain.claim()
    os.environ["ROS_DOMAIN_ID"] = str(number)
    yield
    ros_domain.release(number)
