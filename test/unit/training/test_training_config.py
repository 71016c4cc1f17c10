# SPDX-License-Identifier: Apache-2.0
"""The configuration: it is printed, read back and checked."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from depth_recog.cli.main import main
from depth_recog.errors import ConfigurationError
from depth_recog.training.config import (
    TrainingConfig,
    make_config,
    read_config,
    set_value,
    write_config,
)


def test_the_printed_configuration_is_the_default_with_a_comment_for_each_key(capsys) -> None:
    assert main(["train", "--print-config"]) == 0
    text = capsys.readouterr().out
    assert make_config(yaml.safe_load(text), "printed") == TrainingConfig()
    lines = text.splitlines()
    keys = [n for n, line in enumerate(lines) if not line.lstrip().startswith("#")]
    assert all(lines[n - 1].lstrip().startswith("# ") for n in keys)


def test_the_command_line_overrides_the_file(tmp_path: Path, capsys) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("steps: 7\nloss: {sky: 0.1, exact: 0.2}\nsources: [there]\n")
    arguments = ["here", "--config", str(file), "--set", "loss.sky=0", "--set", "gate=off"]
    assert main(["train", *arguments, "--print-config", "--validate", "held@1:5"]) == 0
    config = make_config(yaml.safe_load(capsys.readouterr().out), "printed")
    assert (config.steps, config.loss.sky, config.loss.exact) == (7, 0, 0.2)
    assert (config.sources, config.validate_on) == (("here",), ("held@1:5",))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stepps": 3}, ("unknown key 'stepps'", "steps")),
        ({"loss": {"alfa": 1}}, ("unknown key 'loss.alfa'", "alpha")),
        ({"loss": {"alpha": 1.5}}, ("loss.alpha", "1.5", "less than or equal to 1")),
        ({"gate": "pixel"}, ("gate", "'auto', 'off', 'all', 'image' or 'object'")),
        ({"motion": "odometry"}, ("motion", "'auto', 'recorded', 'network' or 'points'")),
        ({"size": [100, 64]}, ("size", "multiples of 32")),
        ({"dynamic_classes": ["cars"]}, ("dynamic_classes", "'cars'", "bicycle")),
        ({"steps": 0}, ("steps", "greater than or equal to 1")),
        ({"rate": float("nan")}, ("rate", "nan")),
        ({"name": "a/b"}, ("name", "a/b")),
        ({"validation": 3}, ("validation", "3")),
        ({"steps": 1.5, "batch": "x"}, ("steps", "batch")),
    ],
)
def test_the_message_names_the_bad_value_and_what_is_allowed(
    values: dict, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_config(values, "c.yaml")
    for word in ("c.yaml", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["steps", "=3", "loss.=1", "steps=[", "steps.more=1"])
def test_a_malformed_assignment_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        set_value({"steps": 3}, text)


@pytest.mark.parametrize("content", ["- a\n", "a: [", "\x00", b"\xff\xfe"])
def test_a_malformed_file_is_refused(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=r"c\.yaml"):
        read_config(file)


def test_texts_that_yaml_could_misread_are_quoted() -> None:
    config = make_config({"licence": "no", "sources": ["1:2", "a: b", "#x"], "name": "0"}, "test")
    assert make_config(yaml.safe_load(write_config(config)), "written") == config


@pytest.mark.parametrize(
    "arguments",
    [
        ["synthetic"],
        ["--out", "OUT"],
        ["synthetic@5:2", "--out", "OUT"],
        ["synthetic@900:", "--out", "OUT"],
        ["nowhere", "--out", "OUT"],
        ["synthetic", "--out", "OUT", "--set", "start.depth=nowhere"],
        ["synthetic", "--out", "OUT", "--set", "batch=3", "--set", "devices=2"],
        ["--out", "OUT", "--resume"],
        ["synthetic", "--out", "OUT", "--resume"],
    ],
)
def test_a_mistake_gives_one_line_and_exit_status_1(
    arguments: list[str], tmp_path: Path, capsys
) -> None:
    arguments = [str(tmp_path / "run") if a == "OUT" else a for a in arguments]
    assert main(["train", *arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("depth-recog train: ")
    assert not any("Traceback" in line for line in lines)
