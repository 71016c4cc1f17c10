# SPDX-License-Identifier: Apache-2.0
"""The trainer node beside a depth node, each a process; the adapter follows a script."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("std_srvs")

import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import GetParameters
from robot import DEPTH, NODE, PARAMETERS, Robot, other_weights
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from depth_recog.networks.family import read_family
from depth_recog.networks.weights import file_sha256, resolve

pytestmark = pytest.mark.ros

TRAINER = "trainer_node"


class World(Robot):
    """A robot with both nodes."""

    def __init__(self, namespace: str, folder: Path) -> None:
        super().__init__(namespace)
        self.folder = folder
        self.of_node: dict[str, dict[str, str]] = {}
        self.messages: dict[str, str] = {}
        self._spin = 0
        self.depth = self.start_depth()
        self.trainer = self.start_trainer()
        self.process = self.trainer
        self.trainer.wait_for_line("learns from")
        self.advertise()
        self.listen({DEPTH: Image})
        for name in ("pause", "resume", "save", "rollback"):
            # An answer to a client that the node has not discovered yet is lost.
            self.client(f"{TRAINER}/{name}", Trigger)

    def start_depth(self) -> rp.Process:
        return rp.start_node(NODE, self._prefix[:-1], PARAMETERS, forked=True)

    def start_trainer(self, **changes: Any) -> rp.Process:
        values = {"folder": str(self.folder), "device": "cpu", "budget": 1.0, "nice": 0}
        values |= {"judge_every": 2, "latency_tolerance": 100.0} | changes
        command = rp.node_command(TRAINER, self._prefix[:-1], values)
        command[2] = "import sys, fake_adapter; sys.exit(fake_adapter.main())"
        return rp.Process(command, rp.TRAINING)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name, _, part = status.name.removeprefix(self._prefix).partition(": ")
            self.of_node.setdefault(name, {}).update({v.key: v.value for v in status.values})
            self.messages[f"{name} {part}"] = status.message
            self.statuses[f"{name} {part}"] = status

    def row_of(self, key: str, node: str = TRAINER) -> str:
        return self.of_node.get(node, {}).get(key, "")

    def until(self, ready: Any, what: str) -> Any:
        """Send images until a condition holds."""
        return self.repeat(lambda: self.image(self.next_image()), ready, what)

    def next_image(self) -> int:
        self._spin += 1
        return self._spin % 4

    def swapped(self, more_than: int) -> str:
        """Wait until the depth node confirms weights with a higher number; return their hash."""

        def there() -> str:
            family = read_family(self.folder)
            used = family.find(self.row_of("weights sha256", NODE))
            return used.sha256 if used and used.number > more_than else ""

        return str(self.until(there, f"weights above {more_than}; {self.messages}"))

    def trigger(self, name: str) -> tuple[bool, str]:
        answer = self.call(f"{TRAINER}/{name}", Trigger, Trigger.Request())
        return answer.success, answer.message

    def pause(self) -> int:
        """Pause, and wait until both nodes agree; return the number of the active weights."""
        assert self.trigger("pause") == (True, "paused; resume goes on")
        # A judgement that had begun ends before that.
        self.messages.pop(f"{TRAINER} learning", None)
        self.until(lambda: "paused" in self.messages.get(f"{TRAINER} learning", ""), "paused")
        self.agree()
        return read_family(self.folder).active_entry.number

    def agree(self) -> None:
        """Wait until the depth node uses the active weights of the lineage."""
        self.of_node.pop(NODE, None)
        self.until(
            lambda: (
                self.row_of("weights sha256", NODE) == read_family(self.folder).active
                and self.row_of("confirmed sha256") == read_family(self.folder).active
            ),
            f"the same weights; {self.messages}",
        )

    def parameter(self, name: str) -> str:
        request = GetParameters.Request(names=[name])
        return str(
            self.call(f"{NODE}/get_parameters", GetParameters, request, harmless=True)
            .values[0]
            .string_value
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both nodes; a test that kills one starts it again."""
    made = World("learns", tmp_path_factory.mktemp("learnt") / "family")
    try:
        yield made
        made.trainer.end()
        made.depth.end()
    finally:
        made.trainer.kill()
        made.depth.kill()
        made.close()


def test_accepted_weights_are_used_and_can_be_taken_back(world: World) -> None:
    world.swapped(0)
    number = world.pause()
    family = read_family(world.folder)
    assert number >= 1
    assert world.parameter("weights") == str(
        world.folder / f"{family.active_entry.name}.safetensors"
    )
    # The gate keeps the depth of the start.
    assert world.row_of("gate weights sha256", NODE) == family.start.sha256
    assert world.row_of("active sha256") == family.active
    assert world.row_of("last verdict") == "accepted"
    assert world.row_of("reason") == "half as far off"
    assert world.row_of("check triangulation").startswith("passed: 0.2 -> 0.1")
    assert int(world.row_of("steps")) >= 2
    assert float(world.row_of("budget")) == 1.0
    assert world.row_of("loss total")
    parent = family.find(family.active_entry.parent)
    assert parent is not None
    assert world.trigger("rollback") == (True, f"{parent.name} is active")
    world.agree()
    assert read_family(world.folder).active == parent.sha256
    assert world.trigger("resume") == (True, "learns again")
    world.swapped(number)


def test_a_pause_stops_the_steps(world: World) -> None:
    world.pause()
    steps, skipped = world.row_of("steps"), int(world.row_of("images skipped"))
    world.until(lambda: int(world.row_of("images skipped")) > skipped + 5, "skipped images")
    assert world.row_of("steps") == steps
    assert world.trigger("save")[1]
    world.trigger("resume")
    world.until(lambda: world.row_of("steps") != steps, "steps again")


def test_a_killed_trainer_goes_on_from_the_accepted_weights(world: World) -> None:
    world.swapped(0)
    world.trainer.kill()
    before = read_family(world.folder).active_entry
    world.of_node.clear()
    world.trainer = world.process = world.start_trainer(judge_every=10**6)
    world.trainer.wait_for_line(f"learns from {before.name}")
    world.agree()
    assert read_family(world.folder).active == before.sha256


def test_a_killed_depth_node_gets_the_active_weights_again(world: World) -> None:
    active = read_family(world.folder).active_entry
    assert active.number >= 1
    world.depth.kill()
    world.depth = world.start_depth()
    world.agree()
    assert read_family(world.folder).active == active.sha256


def test_a_full_disk_changes_nothing_until_there_is_room(world: World) -> None:
    """No file may grow: what a write then raises is what a full disk raises, but for its number."""
    world.trigger("resume")
    before = world.pause()
    trainer = world.trainer.popen.pid
    resource.prlimit(trainer, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    # An earlier test may have started the trainer so that it never judges.
    assert world.set_parameters(TRAINER, judge_every=2) == (True, "")
    world.trigger("resume")
    world.until(lambda: int(world.row_of("unsaved") or 0) >= 1, "accepted weights not saved")
    status = world.statuses[f"{TRAINER} weights"]
    assert (status.level, "not saved" in status.message) == (DiagnosticStatus.ERROR, True), status
    world.agree()
    assert read_family(world.folder).active_entry.number == before
    resource.prlimit(trainer, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    world.swapped(before)


def test_what_happened_to_the_folder_while_no_trainer_ran(world: World) -> None:
    """The active weights are damaged, and somebody has copied others there."""
    world.pause()
    world.trainer.kill()
    family = read_family(world.folder)
    parent = family.find(family.active_entry.parent)
    assert parent is not None
    foreign = world.folder / "depth-0123456789abcdef.safetensors"
    shutil.copy(world.folder / f"{family.start.name}.safetensors", foreign)
    path = world.folder / f"{family.active_entry.name}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    world.of_node.clear()
    world.trainer = world.process = world.start_trainer(judge_every=10**6)
    world.trainer.wait_for_line(f"learns from {parent.name}")
    world.agree()
    assert world.row_of("active sha256") == parent.sha256
    aside = {file.name for file in (world.folder / "aside").iterdir()}
    assert {foreign.name, path.name} <= aside


def test_weights_that_somebody_else_chose_are_left_alone(world: World, tmp_path: Path) -> None:
    theirs = other_weights(tmp_path / "theirs.safetensors")
    assert world.set_parameters(NODE, weights=str(theirs)) == (True, "")
    world.until(
        lambda: "is not of this lineage" in world.messages.get(f"{TRAINER} weights", ""), "foreign"
    )
    assert world.statuses[f"{TRAINER} weights"].level == DiagnosticStatus.WARN
    assert world.row_of("weights sha256", NODE) == file_sha256(theirs)
    assert world.set_parameters(NODE, weights=str(world.folder)) == (True, "")
    world.agree()


def test_a_refusal_rolls_back(world: World) -> None:
    """The newest weights are damaged on the disk, after they were accepted."""
    active = read_family(world.folder).active_entry
    path = world.folder / f"{active.name}.safetensors"
    whole = path.read_bytes()
    assert world.set_parameters(NODE, weights=str(resolve("", "depth"))) == (True, "")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    world.until(lambda: read_family(world.folder).active != active.sha256, "a rollback")
    marked = read_family(world.folder).find(active.sha256)
    assert marked is not None
    assert "refused by the depth node" in marked.rolled_back
    world.agree()


def test_what_ends_the_start(tmp_path: Path) -> None:
    used = tmp_path / "file"
    used.touch()
    rp.assert_all_fail(
        TRAINER,
        [
            ({"folder": str(used / "below")}, (), ("cannot be written", "name another folder")),
            # Nobody may make a folder there, root included.
            ({"folder": "/proc/learnt"}, (), ("cannot be written", "name another folder")),
            ({"folder": str(tmp_path), "weights": "nothing"}, (), ("no such weights file",)),
            ({"folder": str(tmp_path), "budget": 2.0}, (), ("budget",)),
            ({"folder": str(tmp_path), "depth_node": ""}, (), ("depth_node is empty",)),
        ],
        rp.TRAINING,
    )
