# SPDX-License-Identifier: Apache-2.0
"""Arguments reach the nodes unchanged; unusable ones are refused before anything starts."""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from depth_recog import environment
from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.main import main
from depth_recog.cli.options import integer, real
from depth_recog.nodes.runtime.children import node_command


@pytest.mark.parametrize("text", ["0", "101", "-1", "x", "1.5", "", "²"])
def test_whole_numbers_are_within_their_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1 to 100"):
        integer(1, 100)(text)
    assert integer(1)("101") == 101


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "x", "1001"])
def test_numbers_are_within_their_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a number from 0 to 1000"):
        real(0, 1000)(text)
    assert real(0, 1000)("29.97") == 29.97


def test_parameters_with_special_characters_reach_the_node() -> None:
    values = {"source": 'it\'s "here": a, [b]', "loop": True, "rate": 5.0, "weights": ""}
    command = node_command("camera_node", "space", values)
    given = dict(a.split(":=", 1) for a in command[command.index("-p") :] if ":=" in a)
    assert {name: json.loads(text) for name, text in given.items()} == values


@pytest.mark.ros
def test_a_source_with_quotes_reaches_the_camera_node() -> None:
    pytest.importorskip("rclpy")
    import ros_processes as rp

    source = 'it\'s "here"'
    rp.start_node("camera_node", "quotes", {"source": source}, forked=True).assert_failed(source)


@pytest.mark.parametrize("node", ["depth_node", "camera_node"])
def test_without_rclpy_a_node_names_the_package(node: str) -> None:
    code = (
        "import sys; sys.modules['rclpy'] = None; "
        f"from depth_recog.nodes.process import {node}; sys.exit({node}())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "pip install '.[ros]'" in done.stderr
    assert "Traceback" not in done.stderr


ENTRANCES = {
    "depth-recog": "from depth_recog.cli.main import main as enter; arguments = (['--no-such'],)",
    "depth_node": "from depth_recog.nodes.process import depth_node as enter; arguments = ()",
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_environment_variables_are_set_before_libraries_load(entrance: str) -> None:
    """Values that the user has set stay."""
    code = f"""
import os, sys
{ENTRANCES[entrance]}
assert not {{"torch", "numpy", "cv2"}} & set(sys.modules), "too late"
sys.modules["rclpy"] = None
try:
    enter(*arguments)
except SystemExit:
    pass
print(*(os.environ[name] for name in {list(environment.DEFAULTS)}))
"""
    unset = {k: v for k, v in os.environ.items() if k not in environment.DEFAULTS}
    chosen = {**unset, "GOMP_SPINCOUNT": "77"}
    for given, expected in ((unset, "1000 1 ERROR 50000000"), (chosen, "77 1 ERROR 50000000")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=given, check=False
        )
        assert done.stdout.split("\n")[0] == expected, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("work", "option"), [("evaluate", []), ("placebo_report", ["--placebos"])])
def test_an_interrupted_evaluation_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: signal.Signals,
    work: str,
    option: list[str],
) -> None:
    """`evaluate ... --json FILE && use FILE` must not use an older file."""
    file = tmp_path / "figures.json"
    file.write_text("older")
    before = signal.getsignal(signal.SIGTERM)
    module = importlib.import_module("depth_recog.cli.evaluate")
    monkeypatch.setattr(module, work, lambda *_: signal.raise_signal(number))
    source = "synthetic:street?frames=2"
    assert main(["evaluate", source, *option, "--json", str(file)]) == 1
    assert "interrupted: no report was written" in capsys.readouterr().err
    assert file.read_text() == "older"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_line_that_is_refused_leaves_the_signals_alone() -> None:
    """In a process that continues, such as a notebook, Ctrl-C must keep its meaning."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit):
        main(["run", "--no-such-option"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("verb", "module", "extra"),
    [
        ("adapt", "pydantic", "train"),
        ("train", "lightning_fabric", "train"),
        ("train", "tensorboard", "train"),
        ("export", "torch", "torch"),
    ],
)
def test_a_missing_extra_is_named(verb: str, module: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; "
        f"from depth_recog.cli.main import main; sys.exit(main([{verb!r}, 'x', '--out', 'y']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert f"pip install 'depth-recog[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_after_the_first_does_not_disturb_the_end_of_a_command() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)  # would raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with Interrupt():
        pass
    assert {n: signal.getsignal(n) for n in before} == before, "nothing came: as before"
