# SPDX-License-Identifier: Apache-2.0
"""`depth-recog weights list|show|verify`, as a user types it."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import command
from safetensors import safe_open
from safetensors.torch import save_file

from depth_recog.networks.weights import DEFAULT, SHIPPED, file_sha256, read_card

POSE = SHIPPED / f"{DEFAULT['pose']}.safetensors"
LIST = ".train.sha256.gz"


def weights(*arguments: str, status: int = 0) -> tuple[str, str]:
    """Call `depth-recog weights`; return its output and errors."""
    result = command("weights", *arguments)
    assert result.returncode == status, result.stderr
    return result.stdout, result.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the smallest weights, with card and list of training files."""
    for suffix in (".safetensors", ".md", LIST):
        shutil.copy(POSE.with_suffix(suffix), tmp_path / f"mine{suffix}")
    path = tmp_path / "mine.safetensors"
    card = path.with_suffix(".md")
    card.write_text(card.read_text().replace("pose-street.train", "mine.train"))
    return path


def test_list() -> None:
    text, _ = weights("list")
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert set(DEFAULT.values()) <= set(lines)
    for network, name in DEFAULT.items():
        sha256 = file_sha256(SHIPPED / f"{name}.safetensors")[:12]
        size = "640x192" if network == "masks" else "416x128"
        for word in (network, size, "metres", sha256, "CC BY-NC-SA 3.0"):
            assert word in lines[name]


def test_list_as_json() -> None:
    rows = json.loads(weights("list", "--json")[0])
    by_name = {row["name"]: row for row in rows}
    row = by_name[DEFAULT["depth"]]
    assert row["network"] == "depth"
    assert row["size"] == [416, 128]
    assert re.fullmatch("[0-9a-f]{64}", row["sha256"])


def test_show() -> None:
    text, _ = weights("show", "pose-street")
    assert text == POSE.with_suffix(".md").read_text()
    content = json.loads(weights("show", "pose-street", "--json")[0])
    assert content["sha256"] == file_sha256(POSE)
    assert set(content) == set(read_card(POSE.with_suffix(".md")))


def test_verify_the_shipped_weights() -> None:
    text, errors = weights("verify")
    assert errors == ""
    for name in DEFAULT.values():
        assert re.search(rf"^ok +{name}: sha256 .* trained on \d+ listed files$", text, re.M)
    found = json.loads(weights("verify", "--json")[0])
    assert all(one["problem"] is None for one in found.values())


def test_verify_a_copy(copy: Path) -> None:
    assert weights("verify", str(copy))[0].startswith("ok     mine: sha256 ")


def one_byte(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)


def no_licence(copy: Path) -> None:
    card = copy.with_suffix(".md")
    card.write_text(re.sub(r"^licence:.*\n", "", card.read_text(), flags=re.M))


def rewritten(copy: Path, change: object) -> None:
    with safe_open(copy, framework="pt") as file:
        header = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, copy, header)
    card = copy.with_suffix(".md")
    text = re.sub(r"^sha256: .*$", f"sha256: {file_sha256(copy)}", card.read_text(), flags=re.M)
    card.write_text(text)


def lost_tensor(copy: Path) -> None:
    rewritten(copy, lambda tensors: tensors.pop("head.0.weight"))


def not_a_number(copy: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["head.0.weight"][0, 0, 0, 0] = torch.nan

    rewritten(copy, change)


WRONG = {
    "a changed byte": (one_byte, "mine.safetensors", "damaged"),
    "no card": (lambda copy: copy.with_suffix(".md").unlink(), "mine.md", "no such card"),
    "no list": (lambda copy: copy.with_suffix(LIST).unlink(), "mine.train.sha256", "no such list"),
    "a broken list": (
        lambda copy: copy.with_suffix(LIST).write_bytes(gzip.compress(b"no list\n")),
        "mine.train.sha256.gz, line 1",
        "sha256sum",
    ),
    "no licence": (no_licence, "mine.md", "licence"),
    "a lost tensor": (lost_tensor, "head.0.weight", "missing"),
    "not a number": (not_a_number, "head.0.weight", "not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_verify_names_what_is_wrong(case: str, copy: Path) -> None:
    damage, where, what = WRONG[case]
    damage(copy)
    text, errors = weights("verify", "pose-street", str(copy), status=1)
    assert text.startswith("ok     pose-street")
    (line,) = errors.splitlines()
    assert line.startswith("WRONG  ")
    assert where in line
    assert what in line
    text, errors = weights("verify", str(copy), "--json", status=1)
    assert errors == ""
    assert what in json.loads(text)[str(copy)]["problem"]


def test_a_card_may_say_that_its_training_files_are_not_known(copy: Path) -> None:
    copy.with_suffix(LIST).unlink()
    card = copy.with_suffix(".md")
    unknown = "train_files: 'not known: the start does not list its own'"
    card.write_text(re.sub(r"^train_files: .*$", unknown, card.read_text(), flags=re.M))
    assert "not known" in weights("verify", str(copy))[0]


@pytest.mark.parametrize("action", ["show", "verify"])
def test_a_name_that_is_not_there(action: str) -> None:
    _, errors = weights(action, "moon", status=1)
    (line,) = errors.splitlines()
    assert "moon: no such weights file" in line
    assert "depth-street" in line
