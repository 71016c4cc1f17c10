# SPDX-License-Identifier: Apache-2.0
"""train.launch.py: trains, and Ctrl-C leaves a run that can be resumed.

Run by launch_test FILE, and by pytest and colcon test through test_ros2_launch.py.
What it says of mistakes is tested there too.
"""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

import launch_testing
from launched import ended_in_order, launched

OUT = Path(tempfile.mkdtemp(prefix="depth_recog_train_")) / "run"


def generate_test_description():
    arguments = {
        "source": "'synthetic:street?width=128&height=64&frames=16'",
        "out": str(OUT),
        "set": "steps=100000 validation.every=2 validation.patience=100000 batch=2 workers=0",
        "scale": "1.25",
    }
    return launched("train.launch.py", arguments)


class TestWhileItRuns(unittest.TestCase):
    """The output of the running training."""

    def test_it_trains(self, proc_output):
        proc_output.assertWaitFor("step 2, validation: abs_rel", timeout=120, stream="stdout")


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """The state after SIGINT."""

    def test_it_ended_in_order(self, proc_info, proc_output):
        ended_in_order(proc_info, proc_output, 1)

    def test_it_can_go_on(self, proc_output):
        launch_testing.asserts.assertInStderr(proc_output, "continue with --resume", None)
        self.assertTrue(any((OUT / "checkpoints").iterdir()))

    def test_it_began_in_metres(self):
        self.assertIn("scale: 1.25", (OUT / "config.yaml").read_text())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(OUT.parent, ignore_errors=True)
