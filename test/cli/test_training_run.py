# SPDX-License-Identifier: Apache-2.0
"""`depth-recog train`: interrupted, killed, resumed, on two processes, on a full disk."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

import ros_processes as rp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import STREET, blank_weights, quick_config

from depth_recog.cli.main import main
from depth_recog.errors import WeightsError
from depth_recog.evaluation.splits import trained_on
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import file_sha256, read_card, read_header
from depth_recog.training.config import write_config
from depth_recog.training.data.gating import gate_for
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.run import TrainingRunFolder, load_checkpoint
from depth_recog.training.result import DepthUnit, TrainedNetwork, export

STEPS = 8
EVERY = 3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configuration and the cache of all runs."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {"loss": {}, "rate": 4e-4, "average": 0.995, "cache": str(folder / "cache")}
    validation = {"every": EVERY, "frames": 2}
    weights = blank_weights(folder)
    config = quick_config(weights, steps=STEPS, batch=2, validation=validation, **changes)
    (folder / "config.yaml").write_text(write_config(config))
    return folder


def arguments(base: Path, name: str, *settings: str) -> list[str]:
    """`depth-recog train` into a folder of `base`, with other settings KEY=VALUE."""
    more = (word for setting in settings for word in ("--set", setting))
    config, out = str(base / "config.yaml"), str(base / name)
    return ["train", STREET, "--config", config, "--out", out, *more]


SIGNALLED = """
import os, sys
write = sys.stdout.write
def signalled(text):
    write(text)
    if {words!r} in text:
        sys.stdout.flush()
        os.killpg(0, {number})
sys.stdout.write = signalled
"""
"""A process that gets a signal at a line of its output, as from Ctrl-C in a shell: its group, to
which the processes that read data belong, gets it."""


def start(*given: str, at: str = "", number: int = 0) -> rp.Process:
    """Start the command; with a signal at the line with these words."""
    before = SIGNALLED.format(words=at, number=int(number)) if at else ""
    return rp.start_command(*given, forked=rp.TRAINING, before=before)


def end_of(process: rp.Process, status: int) -> str:
    """Wait for an end without a traceback; returns what was written to stderr."""
    assert process.wait() == status, process.story()
    assert "Traceback" not in process.stderr
    return process.stderr


def losses(run: Path) -> dict[int, float]:
    """Step to loss, as TensorBoard shows it."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {e.step: e.value for e in events.Scalars("loss/total")}


@pytest.fixture(scope="module")
def whole(base: Path) -> Path:
    """A run in one go."""
    assert main(arguments(base, "whole")) == 0
    return base / "whole"


def test_the_weights_can_be_run_and_have_a_card(base: Path, whole: Path, tmp_path: Path) -> None:
    weights = whole / "whole.safetensors"
    network, header = load_network(str(weights), "depth")
    assert (header.unit, header.size) == ("metres", (128, 64))
    card = read_card(weights.with_suffix(".md"))
    assert card["licence"] == "none: drawn by computation"
    assert (card["seed"], card["steps"]) == (0, STEPS)
    assert card["figures"]["abs_rel"] > 0
    assert card["train_files"].startswith("not known"), "the initial weights have no list"
    assert trained_on(header) is None
    best = load_checkpoint(whole / "checkpoints" / "best.pt")["average"]
    half = best["depth.heads.0.weight"].half().float()
    torch.testing.assert_close(network.heads[0].weight, half, rtol=0, atol=0)
    out = tmp_path / "out"
    command = ["run", STREET, "--weights", str(weights), "--limit", "1", "--out", str(out)]
    assert main([*command, "--device", "cpu"]) == 0
    assert (out / "depth" / "0000000000.png").is_file()


def test_the_training_files_of_the_initial_weights_are_listed_too(tmp_path: Path) -> None:
    before = blank_weights(tmp_path)
    listed = f"{'a' * 64}  drive/0000000001.jpg\n{'c' * 16}  drive/0000000002.jpg\n"
    before.with_suffix(".train.sha256").write_text(listed)
    folder = TrainingRunFolder(tmp_path / "mine")
    folder.path.mkdir()
    (folder.path / "data.sha256").write_text(f"{'b' * 64}  own/7.png\n")
    initial = initial_network(str(before), "depth")
    unit = DepthUnit("metres", "-")
    trained = TrainedNetwork("depth", initial.network, initial, initial.size, unit)
    weights = export(folder, quick_config(before), trained, {})
    _, *lines = (folder.path / "mine.train.sha256").read_text().splitlines()
    files = {"b" * 16: "own/7.png"}
    files |= {"a" * 16: "drive/0000000001.jpg", "c" * 16: "drive/0000000002.jpg"}
    assert lines == [f"{digits}  {path}" for digits, path in files.items()]
    assert trained_on(read_header(weights)) == files
    assert read_card(weights.with_suffix(".md"))["train_files"] == "mine.train.sha256"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("start.depth=pose-street", "holds a pose network"),
        ("gate=image", "gate 'image' needs the depth of the initial weights"),
        ("gate=object", "gate 'object' needs the depth of the initial weights"),
    ],
)
def test_a_run_that_fails_before_it_begins_leaves_no_folder(
    base: Path, setting: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(base, "new", "start.depth=masks-street", setting)) == 1
    error = capsys.readouterr().err
    assert words in error
    assert ("use gate all" in error) == setting.startswith("gate")
    assert not (base / "new").exists()


def test_the_automatic_gate_is_by_object_for_weights_in_metres() -> None:
    metric = initial_network("depth-street", "depth")
    blank = initial_network("masks-street", "depth")
    assert gate_for("auto", metric) == "object"
    assert gate_for("auto", blank) == "all"
    assert gate_for("auto", metric._replace(metric=False)) == "all"
    for gate in ("off", "all", "image", "object"):
        assert gate_for(gate, metric) == gate


def test_the_run_folder_has_curves_pictures_and_all_keys(whole: Path) -> None:
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    assert list(losses(whole)) == list(range(1, STEPS + 1))
    assert "validation" in events.Tags()["images"]
    assert {"validation/abs_rel", "validation/photometric"} <= set(events.Tags()["scalars"])
    assert not list(whole.rglob("*.partial"))


def test_an_existing_run_is_not_changed(base: Path, whole: Path, capsys) -> None:
    before = file_sha256(whole / "checkpoints" / "last.pt")
    assert main(arguments(base, "whole")) == 1
    assert "--resume" in capsys.readouterr().err
    assert file_sha256(whole / "checkpoints" / "last.pt") == before


def test_interrupted_then_killed_then_resumed_it_is_the_same_run(base: Path, whole: Path) -> None:
    """SIGINT: saved, status 0. SIGKILL: nothing is lost but the steps since the last checkpoint."""
    folder = base / "broken"
    words = arguments(base, "broken", "workers=1")
    interrupted = start(*words, at="step 3, validation", number=signal.SIGINT)
    assert "--resume" in end_of(interrupted, 0)
    stopped = load_checkpoint(folder / "checkpoints" / "last.pt")["progress"]["step"]
    assert 3 <= stopped <= 4
    words = ["train", "--out", str(folder), "--resume"]
    killed = start(*words, at="step 6, validation", number=signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (folder / "broken.safetensors").exists()
    assert main(["train", "--out", str(folder), "--resume"]) == 0
    expected = losses(whole)
    assert losses(folder) == pytest.approx(expected, rel=1e-5)
    assert len(set(expected.values())) == STEPS
    # The same tensors are the same file, whatever happened on the way.
    ours, theirs = folder / "broken.safetensors", whole / "whole.safetensors"
    a, b = (load_network(str(f), "depth")[0].state_dict() for f in (ours, theirs))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-2, atol=1e-4)


def test_readers_may_be_killed_and_the_process_group_terminated(base: Path) -> None:
    """A machine that is short of memory does the first, SLURM the second."""
    run = start(*arguments(base, "hit", "workers=1", "steps=1000"))
    run.wait_for_line("step 3, validation")
    pid = run.popen.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    for reader in children.split():
        os.kill(int(reader), signal.SIGKILL)
    errors = end_of(run, 1)
    assert "a process that reads frames was killed" in errors
    assert "--resume" in errors
    run = start("train", "--out", str(base / "hit"), "--resume")
    run.wait_for_line("validation")
    os.killpg(run.popen.pid, signal.SIGTERM)
    assert "the run is saved" in end_of(run, 0)


def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(base: Path) -> None:
    """After a first step Adam's mean of the gradients is a tenth of the gradients."""
    more = ["steps=1", "motion=network", "loss.exact=0"]
    assert main(arguments(base, "one", *more)) == 0
    # Not forked: Fabric starts the second process with the same command line.
    command = [sys.executable, "-m", "depth_recog.cli.main"]
    end_of(rp.Process([*command, *arguments(base, "two", *more, "devices=2")]), 0)
    means = []
    for name in ("one", "two"):
        state = load_checkpoint(base / name / "checkpoints" / "last.pt")
        means.append([s["exp_avg"] for s in state["optimizer"]["state"].values()])
    assert len(means[0]) == len(means[1]) > 100
    largest = max(float(g.abs().max()) for g in means[0])
    for a, b in zip(*means, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=3e-5 * largest)
    assert losses(base / "one") == pytest.approx(losses(base / "two"), rel=1e-5)
    card = read_card(base / "two" / "two.md")
    assert card["unit"].startswith("metres: the scale of blank was kept")


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 8 MB, as on a disk with that much left; a checkpoint is larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(
    base: Path, capsys, request: pytest.FixtureRequest
) -> None:
    folder = base / "full"
    assert main(arguments(base, "full", "steps=1")) == 0
    text = (folder / "config.yaml").read_text().replace("steps: 1\n", "steps: 2\n")
    (folder / "config.yaml").write_text(text)
    kept = {p: file_sha256(p) for p in (folder / "checkpoints").iterdir()}
    request.getfixturevalue("small_files")
    assert main(["train", "--out", str(folder), "--resume"]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "cannot be written" in message
    assert "disk full" in message
    assert {p: file_sha256(p) for p in (folder / "checkpoints").iterdir()} == kept


def test_a_gradient_that_is_not_finite_ends_the_run_with_the_last_good_state(
    base: Path, capsys
) -> None:
    assert main(arguments(base, "nan", "rate=1e18", "validation.every=1")) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not finite" in message
    state = load_checkpoint(base / "nan" / "checkpoints" / "last.pt")
    assert f"the state of step {state['progress']['step']}" in message
    assert not (base / "nan" / "nan.safetensors").exists()


def test_a_run_without_improvement_ends_early_with_the_initial_weights(base: Path, capsys) -> None:
    more = ["rate=1e-12", "validation.every=1", "validation.patience=2", "average=0"]
    assert main(arguments(base, "patient", *more)) == 0
    card = read_card(base / "patient" / "patient.md")
    assert card["ended"] == "validation got no better"
    assert card["steps"] < STEPS
    found, start = (
        load_network(str(f), "depth")[0].state_dict()
        for f in (base / "patient" / "patient.safetensors", base / "blank.safetensors")
    )
    for key, value in start.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-6)


def test_checkpoints_are_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    torch.save({"network": Trap()}, tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=r"c\.pt"):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_run_is_not_resumed_on_changed_data(base: Path, whole: Path, capsys) -> None:
    (whole / "data.sha256").write_text(f"{'0' * 64}  elsewhere/1.png\n")
    try:
        assert main(["train", "--out", str(whole), "--resume"]) == 1
    finally:
        (whole / "data.sha256").write_text("")
    assert "the data changed" in capsys.readouterr().err
