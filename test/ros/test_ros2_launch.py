# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch depth_recog ...` from a shell: arguments, mistakes, and how a replay ends."""

import os
import re
import shutil
import signal
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
MARK = "DEPTH_RECOG_TEST_LAUNCH"
Launch = Callable[..., rp.Process]


def left_behind(mark: str) -> list[str]:
    """The command lines of the running processes that have inherited this mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has just ended
    return found


def nothing_is_left(mark: str) -> None:
    rp.wait_until(lambda: not left_behind(mark), f"the end of all processes, {left_behind(mark)}")


def package(prefix: Path, name: str, executable: str = "") -> None:
    """Install a package whose executable waits until it is ended."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True, exist_ok=True)
    (index / name).touch()
    (prefix / "share" / name).mkdir()
    if executable:
        file = prefix / "lib" / name / executable
        file.parent.mkdir(parents=True)
        file.write_text(f'#!/bin/sh\necho "$*" > "{prefix}/{name}.txt"\nexec sleep 1000\n')
        file.chmod(0o755)


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
            process.interrupt()


FILES = ("depth.launch.py", "replay.launch.py", "train.launch.py", "trainer.launch.py")


@pytest.mark.parametrize("file", FILES)
def test_a_launched_system(file: str) -> None:
    """Run the launch_testing tests, which check the running system and its end."""
    if file == "trainer.launch.py":
        pytest.importorskip("std_srvs")
    command = shutil.which("launch_test")
    if command is None:
        pytest.skip("no launch_test here")
    process = rp.Process([command, str(Path(__file__).parent / "launch" / f"test_{file}")])
    assert process.wait(250) == 0, process.story()
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
        text = everything(process)
        counts = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)[,\n]", text)}
        depth, peer.process = peer.heard["depth/image_rect"], None
        peer.wait(lambda: len(depth) >= counts["published"], f"{counts['published']} depth images")
        peer.drain()
    finally:
        peer.close()
    assert "played 8 frames" in text
    assert text.count("process has finished cleanly") == 2, process.story()
    assert "Traceback" not in text
    # The node processes images once it has discovered the subscriber; some may be dropped.
    assert counts["received"] == counts["published"] + counts["dropped"] <= 8, process.story()
    assert len(depth) == counts["published"] >= 2


MISTAKES = {
    "no such source": (("replay.launch.py", "source:=/nowhere"), "/nowhere does not exist"),
    "no such weights": (("replay.launch.py", "weights:=nothing"), "no such weights file"),
    "no number": (("replay.launch.py", "rate:=fast"), "rate:=fast is not a number"),
    "no choice": (("depth.launch.py", "loop:=maybe"), 'provided value "maybe" is not valid'),
    "no run's folder": (("train.launch.py", "source:=/nowhere"), "--out DIR is missing"),
    "nothing to train on": (("train.launch.py", "out:=/tmp/never"), "no SOURCE to train on"),
    "no choice of the trainer": (
        ("depth.launch.py", "trainer:=maybe"),
        'provided value "maybe" is not valid',
    ),
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
    assert "argument paint is unknown and has no effect: --show-args shows the names" in text
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
    process.wait_for_line("depth weights")  # before its start the process still has launch's own
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    environment = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
    found = {name: environment.get(name) for name in names}
    if variable:
        assert found == {names[0]: own, names[1]: None}
    else:
        assert {Path(value or "").name for value in found.values()} == {"fastdds.xml"}
        assert all(os.path.exists(value or "") for value in found.values())
    assert process.interrupt() == 0, process.story()


RVIZ, TF = ("rviz2", "rviz2"), ("tf2_ros", "static_transform_publisher")
MISSING: dict[str, tuple[list[tuple[str, ...]], tuple[str, ...], str]] = {
    "rviz2": ([TF], (), "the package rviz2 was not found"),
    "tf2_ros": ([RVIZ], (), "the package tf2_ros was not found"),
    "executable": ([("rviz2",), TF], (), "the executable rviz2 of the package rviz2 was not"),
    "configuration": ([RVIZ, TF], ("rviz_config:=/no.rviz",), "rviz_config:=/no.rviz is not a"),
    "tf2_ros not needed": ([], ("source:=none",), "the package rviz2 was not found"),
}


@pytest.mark.parametrize("file", ["depth.launch.py", "replay.launch.py"])
@pytest.mark.parametrize("case", MISSING)
def test_what_is_missing_is_named_before_anything_starts(
    launch: Launch, file: str, case: str, tmp_path: Path
) -> None:
    packages, words, reason = MISSING[case]
    for names in packages:
        package(tmp_path, *names)
    path = os.pathsep.join((str(tmp_path), os.environ["AMENT_PREFIX_PATH"]))
    process = launch(file, "rviz:=true", *words, AMENT_PREFIX_PATH=path)
    assert process.wait() == 1, process.story()
    assert reason in everything(process), process.story()
    assert "process started" not in everything(process)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_when_launch_is_ended(
    launch: Launch, end: signal.Signals, tmp_path: Path
) -> None:
    """Launch does not end its processes then; RViz and the frames' publisher are stand-ins."""
    for names in (RVIZ, TF):
        package(tmp_path, *names)
    path = os.pathsep.join((str(tmp_path), os.environ["AMENT_PREFIX_PATH"]))
    words = (f"source:={TINY}", "rviz:=true", "frame_id:=lens", "frame_prefix:=left/")
    changes = {"AMENT_PREFIX_PATH": path, MARK: str(tmp_path)}
    process = launch("depth.launch.py", *words, **changes)
    process.wait_for_line("depth weights")
    rp.wait_until(lambda: len(left_behind(str(tmp_path))) == 5, "five processes")
    frames = "--frame-id left/camera_link --child-frame-id left/lens"
    for name, words in ((RVIZ[0], "-f left/camera_link"), (TF[0], frames)):
        file = tmp_path / f"{name}.txt"
        rp.wait_until(lambda f=file: f.exists() and "\n" in f.read_text(), f"{file}")
        assert words in file.read_text()
    os.kill(process.popen.pid, end)
    nothing_is_left(str(tmp_path))


INCLUDING = """
from pathlib import Path
from launch import LaunchDescription
from launch.actions import ExecuteProcess, IncludeLaunchDescription
def generate_launch_description():
    included = IncludeLaunchDescription("{file}", launch_arguments={arguments}.items())
    loop = "while :; do echo alive; sleep 0.2; done"
    robot = ExecuteProcess(cmd=["sh", "-c", loop], name="robot", output="screen")
    return LaunchDescription([robot, included])
"""


def launch_file(tmp_path: Path, **arguments: str) -> str:
    """Write a robot's launch file that includes ours; return its path."""
    own = Path(__file__).parents[2] / "launch" / "depth.launch.py"
    file = tmp_path / "robot.launch.py"
    file.write_text(INCLUDING.format(file=own, arguments=arguments))
    return str(file)


def test_a_node_that_fails_ends_the_launch(launch: Launch, tmp_path: Path) -> None:
    changes = {MARK: str(tmp_path)}
    process = launch("depth.launch.py", "weights:=nothing", "source:=synthetic", **changes)
    assert process.wait() == 1, process.story()
    assert "no such weights file" in everything(process)
    nothing_is_left(str(tmp_path))


def test_a_node_that_fails_leaves_the_rest_of_the_robot_running(tmp_path: Path) -> None:
    file = launch_file(tmp_path, weights="nothing", source="none")
    process = rp.Process([shutil.which("ros2") or "ros2", "launch", file])
    process.wait_for_line("depth_node-2.*process has died")
    # The rest goes on. Launch loses a process whose end it notes at the moment of a Ctrl-C.
    process.wait_for_line("alive", times=process.stdout.count("alive") + 3)
    assert process.interrupt() == 0, process.story()
    assert re.search(r"\[robot-1\].*SIGINT", everything(process)), process.story()


def test_a_mistake_in_an_included_launch_leaves_nothing_behind(tmp_path: Path) -> None:
    file = launch_file(tmp_path, rviz="true")
    command = [shutil.which("ros2") or "ros2", "launch", file]
    process = rp.Process(command, **{MARK: str(tmp_path)})
    assert process.wait() == 1, process.story()
    assert "the package rviz2 was not found" in everything(process)
    nothing_is_left(str(tmp_path))


def test_respawn_starts_a_node_again(launch: Launch) -> None:
    process = launch("depth.launch.py", "source:=none", "respawn:=true")
    line = process.wait_for_line(r"\[depth_node-1\]: process started with pid \[\d+\]")
    process.wait_for_line("depth weights")
    os.kill(int(line.split("pid [")[1].split("]")[0]), 9)
    process.wait_for_line("depth weights", times=2)
    assert process.interrupt() == 0, process.story()
