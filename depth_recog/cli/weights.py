# SPDX-License-Identifier: Apache-2.0
"""`depth-recog weights`: list weights, show cards and lineages, verify files, merge lineages."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import nn

from depth_recog.errors import OutputError, WeightsError
from depth_recog.evaluation.splits import list_of, trained_on
from depth_recog.files import read_text, user_path
from depth_recog.limits import DOCUMENT_BYTES, SHOWN
from depth_recog.networks.device import choose_device
from depth_recog.networks.family import is_lineage, read_family
from depth_recog.networks.hf.directory import CARD
from depth_recog.networks.hf.hub import folder_of
from depth_recog.networks.models import header_of
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.weights import SHIPPED, Header, read_card, read_header, resolve
from depth_recog.texts import plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the shipped weights")
    show = actions.add_parser("show", help="the weights' card")
    verify = actions.add_parser(
        "verify",
        help="check sha256, tensors, card and list of training files; exit with 1 on errors",
    )
    lineage = actions.add_parser(
        "lineage", help="the weights that were learnt into a folder: which descend from which, why"
    )
    show.add_argument("weights", metavar="WEIGHTS", help="a shipped name or a path")
    verify.add_argument(
        "weights",
        nargs="*",
        metavar="WEIGHTS",
        help="shipped names or paths; default: all shipped weights",
    )
    lineage.add_argument(
        "folder", metavar="DIR", help="folder of the trainer node, or of depth-recog adapt"
    )
    merging = actions.add_parser(
        "merge",
        help="average what several robots have learnt; kept if it is better than their start",
    )
    merging.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="lineages with the same start"
    )
    merging.add_argument(
        "--on",
        action="append",
        required=True,
        metavar="SOURCE[@A:B]",
        help="recording of the road, to compare on; may be repeated",
    )
    merging.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder for the lineage"
    )
    merging.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N")
    for action in (listing, show, verify, lineage):
        action.add_argument("--json", action="store_true", help="as JSON")


def main(options: argparse.Namespace) -> int:
    """List, show, verify or merge weights."""
    if options.action == "merge":
        return _merge(options)
    if options.action == "list":
        return _list(options.json)
    if options.action == "lineage":
        return _lineage(user_path(options.folder), options.json)
    if options.action == "show":
        return _show(_path(options.weights), options.json)
    return _verify([_path(name) for name in options.weights] or _shipped(), options.json)


def _shipped() -> list[Path]:
    return sorted(SHIPPED.glob("*.safetensors"))


def _path(name: str) -> Path:
    if not name:
        raise WeightsError("empty name; depth-recog weights list shows the shipped weights")
    folder = folder_of(name)
    of_transformers = folder.is_dir() and not is_lineage(folder)
    return folder if of_transformers else resolve(name, "depth")


def _list(as_json: bool) -> int:
    rows = [_row(read_header(path)) for path in _shipped()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        size = f"{row['size'][0]}x{row['size'][1]}"
        print(
            f"{row['name']:<16} {row['network']:<6} {size:<8} {row['unit']:<8} "
            f"{row['sha256'][:12]}  {row['licence']}"
        )
    return 0


def _row(header: Header) -> dict[str, Any]:
    return {
        "name": header.path.stem,
        "network": header.network,
        "size": list(header.size),
        "unit": header.unit,
        "sha256": header.sha256,
        "licence": str(_card(header.path).get("licence", "not stated")),
    }


def _card_path(path: Path) -> Path:
    return path / CARD if path.is_dir() else path.with_suffix(".md")


def _card(path: Path) -> dict[str, Any]:
    card = _card_path(path)
    if not card.is_file():
        raise WeightsError(
            f"{card}: no such card; restore it, or write one with sha256 and licence"
        )
    return read_card(card)


def _lineage(folder: Path, as_json: bool) -> int:
    family = read_family(folder)
    rows = [
        asdict(entry)
        | {
            "name": entry.name,
            "active": entry.sha256 == family.active,
            "on_disk": (folder / f"{entry.name}.safetensors").is_file(),
        }
        for entry in family.entries
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    names = {entry.sha256: entry.name for entry in family.entries}
    for row in rows:
        mark = "*" if row["active"] else " "
        parent = f"from {names.get(row['parent'], row['parent'][:12])}, " if row["parent"] else ""
        time = plain(row["time"], SHOWN)
        print(f"{mark} {row['number']:>4}  {row['name']}  {time}  {parent}step {row['step']}")
        print(f"        {plain(row['why'])}")
        if row["rolled_back"]:
            print(f"        rolled back: {plain(row['rolled_back'])}")
        if not row["on_disk"]:
            print("        its file was deleted to save disk space")
    return 0


def _merge(options: argparse.Namespace) -> int:
    # Training is an extra, and takes long to import.
    from depth_recog.adaptation.adapter import Adapter
    from depth_recog.adaptation.lineage import Lineage
    from depth_recog.adaptation.merge import merge, robots_of
    from depth_recog.adaptation.settings import AdaptationSettings
    from depth_recog.cli.train import chosen_frames

    robots = robots_of([user_path(folder) for folder in options.folders])
    start = str(robots[0].folder / f"{robots[0].start.name}.safetensors")
    on = [chosen_frames(text) for text in options.on]
    out = user_path(options.out)
    if is_lineage(out):
        raise OutputError(f"{out}: holds a lineage already; name a new folder")
    # Nothing is learnt here: as many frames as possible are for the judge.
    settings = AdaptationSettings(hold_back=2)
    adapter = Adapter(start, settings, str(choose_device(options.device)))
    with closing(Lineage(out, start)) as lineage:
        judgement = merge(robots, adapter, lineage, on)
    names = ", ".join(robot.active.name for robot in robots)
    if not judgement.accepted:
        print(f"{out}: the mean of {names} is refused, the start stays active: {judgement.reason}")
        return 1
    print(f"{out}: the mean of {names} is active: {judgement.reason}")
    return 0


def _show(path: Path, as_json: bool) -> int:
    content = _card(path)
    if as_json:
        print(json.dumps(content, indent=2, default=str))
    else:
        print(plain(_text(_card_path(path)), keep="\n"), end="")
    return 0


def _text(card: Path) -> str:
    try:
        return read_text(card, DOCUMENT_BYTES)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{card}: cannot be read ({error})") from error


def _verify(paths: list[Path], as_json: bool) -> int:
    found = {str(path): _examined(path) for path in paths}
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for path, one in found.items():
            if one["problem"] is None:
                print(f"ok     {Path(path).stem}: {one['facts']}")
        for one in found.values():
            if one["problem"] is not None:
                print(f"WRONG  {one['problem']}", file=sys.stderr)
    return int(any(one["problem"] is not None for one in found.values()))


def _examined(path: Path) -> dict[str, str | None]:
    try:
        return {"problem": None, "facts": _facts(path)}
    except WeightsError as error:
        return {"problem": str(error), "facts": None}


def _facts(path: Path) -> str:
    """Check weights, and return a summary. Raises WeightsError at the first problem."""
    header = header_of(str(path), "depth") if path.is_dir() else read_header(path)
    card = _card(path)
    if not card.get("licence"):
        raise WeightsError(f"{_card_path(path)}: no licence in the card; add it")
    network = cast(nn.Module, load_model(str(path), header.network)[0])
    for key, tensor in network.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path}: tensor {key} has values that are not finite; restore the file"
            )
    listed = trained_on(header)
    stated = str(card.get("train_files", ""))
    if listed is None and not stated.startswith("not known"):
        raise WeightsError(
            f"{list_of(header)}: no such list of training files; restore it, so that evaluate can "
            "detect training files among its frames"
        )
    seen = f"trained on {len(listed)} listed files" if listed is not None else stated
    return f"sha256 {header.sha256[:12]}, {len(network.state_dict())} tensors, {seen}"
