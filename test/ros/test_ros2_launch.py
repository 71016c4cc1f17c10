# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch depth_recog ...` from a shell: arguments, mistakes, and how a replay ends."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("ros2launch", reason="no ros2 launch here (it is not on PyPI)")
pytest.importorskip("ament_index_python")

import ros_peer
import ros_processes as rp
from ament_index_python import get_packages_with_prefixes
from sensor_msgs.msg import Image

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        "depth_recog" not in get_packages_with_prefixes(),
        reason="depth_recog is not in the sourced workspace: colcon build, . install/setup.bash",
    ),
]

TINY = "synthetic:street?width=160&height=64&rate=10&frames=8"
Launch = Callable[..., rp.Process]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Runs `ros2 launch depth_recog FILE ARGUMENT...`."""
    running: list[rp.Process] = []

    def run(*words: str, **changes: str) -> rp.Process:
        command = [shutil.which("ros2") or "ros2", "launch", "depth_recog", *words]
        running.append(rp.Process(command, **changes))
        return running[-1]

    yield run
    for process in running:
        if process.popen.poll() is None:
            process.interrupt(15)


FILES = ("depth.launch.py", "replay.launch.py", "train.launch.py")


@pytest.mark.parametrize("file", FILES)
def test_a_launched_system(file: str) -> None:
    """Run the launch_testing tests, which check the running system and its end."""
    command = shutil.which("launch_test")
    if command is None:
        pytest.skip("no launch_test here")
    process = rp.Process([command, str(Path(__file__).parent / "launch" / f"test_{file}")])
    assert process.wait(110) == 0, process.story()
    assert everything(process).count("\nOK\n") == 2, process.story()


def everything(process: rp.Process) -> str:
    return process.stdout + process.stderr


@pytest.mark.parametrize("file", FILES)
def test_every_argument_is_described(launch: Launch, file: str) -> None:
    process = launch(file, "--show-args")
    assert process.wait() == 0, process.story()
    blocks = process.stdout.split("\n\n")
    arguments = [block for block in blocks if block.strip().startswith("'")]
    assert len(arguments) >= 6, process.story()
    for block in arguments:
        name, description, default = (line.strip() for line in block.strip().splitlines())
        assert name.endswith("':")
        assert len(description.split()) >= 3, block
        assert default.startswith("(default: "), block


def test_a_replay_ends_with_the_recording(launch: Launch) -> None:
    peer = ros_peer.Peer("played")
    try:
        peer.listen({"depth/image_rect": Image})
        process = launch("replay.launch.py", f"source:={TINY}", "namespace:=played", "rate:=5")
        peer.wait(lambda: process.popen.poll() is not None, "the end of the launch")
        assert process.wait() == 0, process.story()
        peer.drain()
    finally:
        peer.close()
    text = everything(process)
    assert "played 8 frames" in text
    assert text.count("process has finished cleanly") == 2, process.story()
    assert "Traceback" not in text
    # The node processes images once it has discovered the subscriber; some may be dropped.
    counts = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)[,\n]", text)}
    assert counts["received"] == counts["published"] + counts["dropped"] <= 8, process.story()
    assert len(peer.heard["depth/image_rect"]) == counts["published"] >= 2


MISTAKES = {
    "no such source": (("replay.launch.py", "source:=/nowhere"), "/nowhere does not exist"),
    "no such weights": (("replay.launch.py", "weights:=nothing"), "no such weights file"),
    "no number": (("replay.launch.py", "rate:=fast"), "rate:=fast is not a number"),
    "no choice": (("depth.launch.py", "loop:=maybe"), 'provided value "maybe" is not valid'),
    "no run's folder": (("train.launch.py", "source:=/nowhere"), "--out DIR is missing"),
    "nothing to train on": (("train.launch.py", "out:=/tmp/never"), "no SOURCE to train on"),
    "no such file": (("depth.launch.py", "params_file:=/no.yaml"), "params_file:=/no.yaml is not"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_the_launch_with_status_1_and_the_reason(
    launch: Launch, mistake: str
) -> None:
    words, reason = MISTAKES[mistake]
    process = launch(*words)
    assert process.wait() == 1, process.story()
    assert reason in everything(process), process.story()
    assert "Traceback" not in everything(process), process.story()


def test_a_misspelt_argument_is_named(launch: Launch) -> None:
    process = launch("replay.launch.py", "weigths:=depth-street", "paint:=red", "rate:=fast")
    assert process.wait() == 1
    text = everything(process)
    assert "argument weigths is unknown and has no effect: did you mean weights?" in text
    assert "argument paint is unknown and has no effect: --show-args lists" in text
    assert "argument rate is" not in text


@pytest.mark.parametrize("variable", ["FASTRTPS_DEFAULT_PROFILES_FILE", ""])
def test_a_profile_of_ones_own_is_kept(launch: Launch, variable: str, tmp_path: Path) -> None:
    """A DDS profile that the user has set stays; the environment is read from /proc."""
    own = str(tmp_path / "own.xml")
    shutil.copy(rp.FASTDDS_PROFILE, own)
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    changes = dict.fromkeys(names, "") | ({variable: own} if variable else {})
    process = launch("depth.launch.py", "source:=none", **changes)
    line = process.wait_for_line(r"\[depth_node-1\]: process started with pid \[\d+\]")
    pid = int(line.split("pid [")[1].split("]")[0])
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    environment = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
    found = {name: environment.get(name) for name in names}
    if variable:
        assert found == {names[0]: own, names[1]: None}
    else:
        assert {Path(value or "").name for value in found.values()} == {"fastdds.xml"}
        assert all(os.path.exists(value or "") for value in found.values())
    process.wait_for_line("depth weights")
    assert process.interrupt(15) == 0, process.story()


def test_respawn_starts_a_node_again(launch: Launch) -> None:
    process = launch("depth.launch.py", "source:=none", "respawn:=true")
    line = process.wait_for_line(r"\[depth_node-1\]: process started with pid \[\d+\]")
    process.wait_for_line("depth weights")
    os.kill(int(line.split("pid [")[1].split("]")[0]), 9)
    process.wait_for_line("depth weights", times=2)
    assert process.interrupt(15) == 0, process.story()
