# SPDX-License-Identifier: Apache-2.0
"""A lineage of weights: what it keeps, and what it survives."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("pydantic")

import torch
from torch import nn

from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import (
    ConfigurationError,
    DepthRecogError,
    OutputError,
    TrainingError,
    WeightsError,
)
from depth_recog.networks.family import BEFORE, LIST, read_family
from depth_recog.networks.models import header_of
from depth_recog.networks.own.files import save_network
from depth_recog.networks.weights import file_sha256, read_card


def network(value: float = 0.0) -> nn.Module:
    module = nn.Linear(2, 2)
    nn.init.constant_(module.weight, value)
    nn.init.constant_(module.bias, 0.0)
    return module


@pytest.fixture
def start(tmp_path: Path) -> str:
    path = tmp_path / "begin.safetensors"
    digest = save_network(network(), path, "depth", {}, (64, 32), "metres")
    card = f"---\nname: begin\nsha256: {digest}\nlicence: CC0-1.0\n---\n"
    path.with_suffix(".md").write_text(card)
    return str(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test ends the power."""
    monkeypatch.setattr("os.fsync", lambda file: None)


Open = Callable[..., Lineage]


@pytest.fixture
def opened(tmp_path: Path, start: str) -> Iterator[Open]:
    """Opens the lineage in one folder; an earlier one is closed."""
    held: list[Lineage] = []

    def again(begin: str = start, **options: Any) -> Lineage:
        while held:
            held.pop().close()
        held.append(Lineage(tmp_path / "family", begin, **options))
        return held[0]

    yield again
    for one in held:
        one.close()


def add(lineage: Lineage, value: float) -> Any:
    return lineage.accept(network(value), lineage.active, f"better by {value}", 10, {"why not": 1})


def weights_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.safetensors")}


def assert_consistent(folder: Path) -> None:
    """Expect that the active weights are whole, and that all readers take them."""
    family = read_family(folder)
    header = header_of(str(folder), "depth")
    assert header.sha256 == family.active == file_sha256(header.path)
    assert not family.active_entry.rolled_back
    assert read_card(header.path.with_suffix(".md"))["sha256"] == family.active
    listed = {entry.name for entry in family.entries}
    assert weights_in(folder) <= listed
    assert not [*folder.glob("*.partial"), *folder.glob("candidate")]


def test_accepted_weights_are_active_and_have_a_card(opened: Open) -> None:
    lineage = opened()
    first = add(lineage, 1.0)
    second = add(lineage, 2.0)
    assert lineage.active == second
    path = lineage.path_of(second)
    assert path.name == f"depth-{file_sha256(path)[:16]}.safetensors"
    content = read_card(path.with_suffix(".md"))
    assert content["parent"] == first.sha256
    assert (content["number"], content["step"], content["why"]) == (2, 10, "better by 2.0")
    assert content["licence"] == "CC0-1.0"
    assert content["why not"] == 1
    header = header_of(str(lineage.folder), "depth")
    assert (header.path, header.unit, header.size) == (path, "metres", (64, 32))
    assert opened("").active == second, "a new process goes on from the accepted weights"
    assert_consistent(lineage.folder)


def test_rollback_goes_to_the_parent_and_stays_there(opened: Open) -> None:
    lineage = opened()
    first = add(lineage, 1.0)
    second = add(lineage, 2.0)
    assert lineage.rollback("the road rose") == first
    assert opened().active == first
    lineage = opened()
    assert lineage.family.find(second.sha256).rolled_back == "the road rose"  # type: ignore[union-attr]
    third = add(lineage, 3.0)
    assert third.parent == first.sha256
    assert third.number == 3
    assert lineage.rollback("no") == first
    assert lineage.rollback("no") == lineage.start
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        lineage.rollback("no")
    assert_consistent(lineage.folder)


def test_what_is_refused(opened: Open, tmp_path: Path) -> None:
    lineage = opened()
    old = lineage.active
    first = add(lineage, 1.0)
    with pytest.raises(TrainingError, match="rolled back while"):
        lineage.accept(network(2.0), old, "late", 1, {})
    with pytest.raises(TrainingError, match="unchanged"):
        add(lineage, 1.0)
    with pytest.raises(TrainingError, match="not finite"):
        add(lineage, 1e6)  # infinite as float16
    assert lineage.active == first
    assert_consistent(lineage.folder)
    other = tmp_path / "other.safetensors"
    save_network(network(9.0), other, "depth", {}, (64, 32), "metres")
    with pytest.raises(ConfigurationError, match="began with depth-"):
        opened(str(other))
    opened()
    with pytest.raises(OutputError, match="another process learns"):
        Lineage(tmp_path / "family")


def test_the_disk_is_bounded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depth_recog.adaptation.lineage._ENTRIES", 9)
    lineage = opened(keep=4)
    entries = [add(lineage, float(i)) for i in range(1, 13)]
    names = {e.name for e in (lineage.start, *entries[-3:])}
    assert weights_in(lineage.folder) == names
    assert len([*lineage.folder.iterdir()]) == 2 * len(names) + 3
    assert len(lineage.family.entries) == 9
    for expected in (*entries[-3:-1][::-1], lineage.start):
        assert lineage.rollback("") == expected
    # The oldest go first, but never the start, the active weights and their parent.
    lineage = opened(keep=1)
    last = add(lineage, 20.0)
    assert weights_in(lineage.folder) == {lineage.start.name, last.name}
    assert_consistent(lineage.folder)


CALLS = (
    ("os", "fsync"),
    ("pathlib.Path", "replace"),
    ("pathlib.Path", "rename"),
    ("pathlib.Path", "unlink"),
    ("pathlib.Path", "write_bytes"),
    ("pathlib.Path", "write_text"),
)


def killed_at(call: int, work: Callable[[], object]) -> bool:
    """Run work in a process that is killed at its n-th change of the disk; whether it came there.

    A write is cut in half.
    """
    child = os.fork()
    if not child:
        patch, count = pytest.MonkeyPatch(), iter(range(10**6))

        def mortal(real: Any, name: str) -> Any:
            def changed(*arguments: Any, **options: Any) -> Any:
                if next(count) == call:
                    if name.startswith("write"):
                        half = arguments[1][: len(arguments[1]) // 2]
                        real(arguments[0], half, *arguments[2:], **options)
                    os._exit(9)
                return real(*arguments, **options)

            return changed

        try:
            for place, name in CALLS:
                real = getattr(os if place == "os" else Path, name)
                patch.setattr(f"{place}.{name}", mortal(real, name))
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def test_a_kill_at_any_change_of_the_disk(tmp_path: Path, start: str) -> None:
    folder = tmp_path / "family"
    with_one = tmp_path / "one"
    prepared = Lineage(with_one, start, keep=3)
    first = add(prepared, 1.0)
    second = add(prepared, 2.0)
    prepared.close()
    works: dict[str, Callable[[Lineage], object]] = {
        "begin": lambda lineage: None,
        "accept": lambda lineage: add(lineage, 3.0),
        "roll back": lambda lineage: lineage.rollback("worse"),
    }
    for name, work in works.items():
        actives = set()
        for call in range(1000):
            shutil.rmtree(folder, ignore_errors=True)
            if name != "begin":
                shutil.copytree(with_one, folder)
            killed = killed_at(call, lambda w=work: w(Lineage(folder, start, keep=3)))  # type: ignore[misc]
            lineage = Lineage(folder, start, keep=3)
            assert_consistent(folder)
            actives.add(lineage.active.why)
            assert not [p for p in lineage.problems if "lost" in p], (name, call)
            lineage.close()
            if not killed:
                break
        else:
            pytest.fail("the work never ends")
        assert call > 5 or name == "begin", "the kills happened"
        both = {"accept": {second.why, "better by 3.0"}, "roll back": {second.why, first.why}}
        assert actives == both.get(name, {"the start: begin"})


class FullDisk:
    """Refuses to write more than so many bytes; deleting a weights file makes room."""

    def __init__(self, patch: pytest.MonkeyPatch, free: int) -> None:
        self.free = free
        for name in ("write_bytes", "write_text"):
            patch.setattr(Path, name, self._limited(getattr(Path, name)))
        real = Path.unlink

        def unlink(path: Path, missing_ok: bool = False) -> None:
            self.free += path.stat().st_size if path.suffix == ".safetensors" else 0
            real(path, missing_ok)

        patch.setattr(Path, "unlink", unlink)

    def _limited(self, real: Any) -> Any:
        def write(path: Path, data: Any, *arguments: Any, **options: Any) -> Any:
            if len(data) > self.free:
                real(path, data[: self.free], *arguments, **options)
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            self.free -= len(data)
            return real(path, data, *arguments, **options)

        return write


@pytest.mark.parametrize("free", [0, 100, 700, 1500, 10**6])
def test_a_full_disk(opened: Open, free: int) -> None:
    lineage = opened()
    first = add(lineage, 1.0)
    with pytest.MonkeyPatch().context() as patch:
        FullDisk(patch, free)
        if free < 10**6:
            with pytest.raises(OutputError, match="disk full"):
                add(lineage, 2.0)
            assert lineage.active == first
            assert_consistent(lineage.folder)
        else:
            first = add(lineage, 2.0)
    assert opened().active == first


def test_a_rollback_on_a_full_disk(opened: Open) -> None:
    lineage = opened()
    add(lineage, 1.0)
    folder = lineage.folder
    with pytest.MonkeyPatch().context() as patch:
        FullDisk(patch, 0).free = 0
        with pytest.raises(OutputError):
            lineage.rollback("worse")
        assert lineage.active == lineage.start
    lineage = opened()
    assert lineage.active == lineage.start, "the rejected weights made room, and are gone"
    assert_consistent(folder)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("unshare"), reason="root may write")
def test_a_folder_that_cannot_be_written(tmp_path: Path, start: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="name another folder"):
        Lineage(file / "below", start)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_damaged_and_foreign_files(opened: Open, tmp_path: Path) -> None:
    lineage = opened()
    first = add(lineage, 1.0)
    second = add(lineage, 2.0)
    folder = lineage.folder
    damage(lineage.path_of(second))
    (folder / "notes.txt").write_text("the user's")
    foreign = folder / "depth-0123456789abcdef.safetensors"
    shutil.copy(lineage.path_of(first), foreign)
    lineage.path_of(first).with_suffix(".md").write_text("---\nsha256: 12\n---\n")
    lineage = opened()
    assert lineage.active == first
    assert_consistent(folder)
    assert {p.name for p in (folder / "aside").iterdir()} == {
        f"{second.name}.safetensors",
        f"{second.name}.md",
        foreign.name,
    }
    named = " ".join(lineage.problems)
    for text in (second.name, foreign.name, first.name, "went back to"):
        assert text in named
    assert (folder / "notes.txt").read_text() == "the user's"
    # The start is restored from where it came, if it is still there.
    damage(lineage.path_of(lineage.start))
    lineage = opened()
    assert "copied again" in " ".join(lineage.problems)
    assert lineage.active == first
    damage(lineage.path_of(lineage.start))
    os.unlink(tmp_path / "begin.safetensors")
    with pytest.raises(DepthRecogError):
        opened("")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": "other"}', "\xff", json.dumps({"format": "depth_recog lineage/1"})],
)
def test_a_damaged_list(opened: Open, text: str) -> None:
    lineage = opened()
    first = add(lineage, 1.0)
    second = add(lineage, 2.0)
    folder = lineage.folder
    (folder / LIST).write_text(text, encoding="latin-1")
    assert read_family(folder).active == first.sha256, "the list before"
    lineage = opened()
    assert lineage.active == first
    assert_consistent(folder)
    assert (folder / "aside" / f"{second.name}.safetensors").is_file()
    for name in (LIST, BEFORE):
        (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match="lineage"):
        read_family(folder)
    lineage = opened()
    assert lineage.active == lineage.start
    assert_consistent(folder)


def test_a_list_cannot_lead_out_of_the_folder(opened: Open) -> None:
    lineage = opened()
    text = (lineage.folder / LIST).read_text()
    (lineage.folder / LIST).write_text(text.replace(lineage.active.sha256, "../" * 21 + "x"))
    with pytest.raises(WeightsError, match="is no sha256"):
        read_family(lineage.folder)


def test_the_stored_tensors_are_those_of_the_network(opened: Open) -> None:
    from safetensors.torch import load_file

    lineage = opened()
    entry = add(lineage, 0.123)
    stored = load_file(lineage.path_of(entry))
    assert torch.equal(stored["weight"], torch.full((2, 2), 0.123).half())


def test_the_verb_lists_the_family(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    from depth_recog.cli.main import main

    lineage = opened(keep=2)
    entries = [add(lineage, float(i)) for i in (1, 2, 3)]
    lineage.rollback("the road rose")
    folder = str(lineage.folder)
    assert main(["weights", "lineage", folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [e.name for e in (lineage.start, *entries)]
    assert [row["active"] for row in rows].index(True) == lineage.active.number
    assert main(["weights", "lineage", folder]) == 0
    text = capsys.readouterr().out
    assert f"* {lineage.active.number:>4}  {lineage.active.name}" in text
    assert "rolled back: the road rose" in text
    assert "better by 3.0" in text
    assert main(["weights", "lineage", str(lineage.folder.parent)]) == 1
    assert "no lineage of weights" in capsys.readouterr().err
    assert main(["weights", "show", folder]) == 0
    assert lineage.active.name in capsys.readouterr().out or lineage.active == lineage.start
