# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/{topics,parameters,cli,files,limits}.md from the code.

python docs/generate.py

Names, types, defaults, ranges and options come from the declarations in the code. Meanings that the
code has no place for are in docs/meanings.yaml; a name without a meaning, or a meaning
without a name, is an error. test/unit/test_docs.py compares the pages with what is written here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code: change that, then run it. -->\n\n"
STREET = "synthetic:street?seed=1&frames=4"
"""Small recording from which `files` is made: it has every kind of truth."""


def meanings() -> dict[str, Any]:
    """Meanings by page and name."""
    text = (Path(__file__).with_name("meanings.yaml")).read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def matched(names: set[str], meaning: dict[str, str], where: str) -> list[tuple[str, str]]:
    """(names, meaning), in the order of `meaning`, whose keys are "name, pattern, ...".

    Raises:
        ValueError: a name has no meaning, or a meaning no name.
    """
    patterns = [pattern for key in meaning for pattern in key.split(", ")]
    unknown = {name for name in names if not any(fnmatchcase(name, p) for p in patterns)}
    stale = {p for p in patterns if not any(fnmatchcase(name, p) for name in names)}
    if unknown or stale:
        raise ValueError(f"{where}: without meaning {sorted(unknown)}; not there {sorted(stale)}")
    return list(meaning.items())


def rows(*cells: str) -> str:
    """A row of a table."""
    return "|" + "|".join(cell.replace("|", r"\|") for cell in cells) + "|\n"


def value_text(value: Any) -> str:
    """A default, as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(value_text(v) for v in value) + "]"
    return '""' if value == "" else "null" if value is None else str(value)


def topics() -> str:
    """Topics of both nodes."""
    from depth_recog.nodes.io.outputs import DETECTIONS, TOPICS

    meaning = meanings()["topics"]
    page = f"# Topics\n\n{NOTE}{meaning['introduction']}\n## depth_node publishes\n\n"
    page += rows("topic", "type", "content") + rows("---", "---", "---")
    # The notes describe the detections: whether they are there depends on the machine.
    names = set(TOPICS) - {DETECTIONS}
    for name, text in matched(names, meaning["published"], "topics.published"):
        kind = TOPICS[name]
        package = kind.__module__.partition(".")[0]
        page += rows(f"`{name}`", f"{package}/{kind.__name__}", text)
    return page + "\n" + str(meaning["notes"])


def parameters() -> str:
    """Parameters of the nodes."""
    from depth_recog.nodes import camera_node
    from depth_recog.nodes.runtime.depth_parameters import SPECS
    from depth_recog.nodes.trainer import parameters as trainer

    meaning = meanings()["parameters"]
    page = f"# Parameters\n\n{NOTE}{meaning['introduction']}\n"
    for title, specs in (
        ("depth_node, may change while active", [s for s in SPECS if s.live]),
        ("depth_node, read by configure", [s for s in SPECS if not s.live]),
        ("camera_node, read by configure", camera_node.SPECS),
        ("trainer_node, may change while active", [s for s in trainer.SPECS if s.live]),
        ("trainer_node, read by configure", [s for s in trainer.SPECS if not s.live]),
    ):
        page += f"## {title}\n\n" + rows("parameter", "default", "allowed", "meaning")
        page += rows("---", "---", "---", "---")
        for spec in specs:
            text = spec.description
            page += rows(f"`{spec.name}`", value_text(spec.default), allowed(spec), text)
        page += "\n"
    return page + str(meaning["notes"])


def allowed(spec: Any) -> str:
    """The values that a parameter takes."""
    if spec.choices:
        return ", ".join(spec.choices)
    if spec.least is None:
        return ""
    if isinstance(spec.default, int):
        return f"{int(spec.least)} to {int(spec.most)}"
    return f"{spec.least:g} to {spec.most:g}"


def cli() -> str:
    """Verbs of depth-recog and their options."""
    from depth_recog.cli.main import VERBS
    from depth_recog.cli.pipeline_options import add_pipeline_arguments

    page = f"# Commands\n\n{NOTE}{meanings()['cli']['introduction']}\n"
    shared = argparse.ArgumentParser(add_help=False)
    add_pipeline_arguments(shared)
    common = {action.dest for action in shared._actions}
    for verb, text in VERBS.items():
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(f"depth_recog.cli.{verb.replace('-', '_')}").add_arguments(parser)
        names = {action.dest for action in parser._actions}
        page += f"## depth-recog {verb}\n\n{text[:1].upper()}{text[1:]}.\n\n"
        # Options that several verbs share are explained once.
        told = common if common <= names else set()
        told = told | ({"fov", "focal"} if verb != "run" else set())
        for action in parser._actions:
            if action.help != argparse.SUPPRESS and action.dest not in told:
                page += option(action)
        if "fov" in told & names:
            page += "- `--fov DEGREES`, `--focal PIXELS`: [as of run](#depth-recog-run)\n"
        if common <= names:
            page += "- [pipeline options](#pipeline-options)\n"
        page += "\n"
    page += "## Pipeline options\n\n" + "".join(option(action) for action in shared._actions)
    return page


def option(action: argparse.Action) -> str:
    """A line for an argument of a command line, or one for each command below a verb."""
    if isinstance(action, argparse._SubParsersAction):
        helps = {choice.dest: choice.help for choice in action._choices_actions}
        return "".join(
            f"- `{name}`: {helps[name]}\n" + "".join("  " + option(a) for a in sub._actions[1:])
            for name, sub in action.choices.items()
        )
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = ""
    if action.option_strings and action.nargs != 0:
        value = action.metavar or "|".join(action.choices or ()) or action.dest.upper()
        value = f" {value}"
    return f"- `{name}{value}`: {action.help}\n" if action.help else f"- `{name}{value}`\n"


def files() -> str:
    """What run, evaluate and train write, from a run and an evaluation of four frames."""
    from depth_recog.adaptation import lineage
    from depth_recog.training.loop import run as run_folder

    meaning = meanings()["files"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        weights = str(weights_with_deviation(Path(folder)))
        command("run", STREET, "--weights", weights, "--uncertainty", "--out", str(out))
        figures = Path(folder) / "figures.json"
        command("evaluate", str(out), "--crop", "none", "--json", str(figures))
        without = Path(folder) / "without_truth.json"
        command("evaluate", STREET, "--without-truth", "--json", str(without))
        names = {str(p.relative_to(out).with_name(stem(p))) for p in out.rglob("*") if p.is_file()}
        lines = (out / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        pairs = [json.loads(line) for line in lines]
        run = json.loads((out / "run.json").read_text(encoding="utf-8"))
        evaluated = json.loads(figures.read_text(encoding="utf-8"))
        evaluated |= json.loads(without.read_text(encoding="utf-8"))
    found = {
        "run": names,
        "run.json": set(run),
        "pairs.jsonl": {key for pair in pairs for key in pair},
        "regions": {key for pair in pairs for region in pair["regions"] or () for key in region},
        "evaluate --json": set(paths(evaluated)),
    }
    page = f"# Files\n\n{NOTE}"
    for section, keys in found.items():
        page += f"## {meaning['titles'][section]}\n\n"
        for name, text in matched(keys, meaning[section], f"files.{section}"):
            page += f"- `{name.replace(', ', '`, `')}`: {text}\n"
        page += "\n"
    for name, module in (("train", run_folder), ("lineage", lineage)):
        listed = textwrap.dedent(str(module.__doc__).split("\n\n")[1])
        page += f"## {meaning['titles'][name]}\n\n```\n{listed.strip()}\n```\n\n"
    return page


def weights_with_deviation(folder: Path) -> Path:
    """Write the default depth weights with a blank head for the standard deviation."""
    from depth_recog.networks.own.files import save_network
    from depth_recog.training.initial import initial_network, with_deviation

    made = with_deviation(initial_network("depth-street", "depth"))
    path = folder / "deviation.safetensors"
    save_network(made.network, path, "depth", made.architecture, made.size, "metres")
    return path


def stem(path: Path) -> str:
    """A file's name with NAME for a frame's."""
    return f"NAME{path.suffix}" if path.suffix == ".png" else path.name


def command(*arguments: str) -> None:
    """Run a verb in this process. Raises RuntimeError where it fails."""
    from depth_recog.cli.main import main

    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        if main(list(arguments)):
            raise RuntimeError(f"depth-recog {' '.join(arguments)}: {err.getvalue()}")


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all leaves."""
    if not isinstance(value, dict):
        yield prefix
        return
    for key, inner in value.items():
        yield from paths(inner, f"{prefix}.{key}" if prefix else str(key))


def limits() -> str:
    """The limits on what comes in."""
    from depth_recog import limits as module

    page = f"# Limits\n\n{NOTE}{meanings()['limits']['introduction']}\n"
    page += rows("limit", "value") + rows("---", "---")
    for name, value in vars(module).items():
        if not name.isupper() or name == "MIB":
            continue
        text = f"{value // module.MIB} MiB" if value % module.MIB == 0 else f"{value}"
        page += rows(f"`{name}`", text)
    return page + "\n" + str(meanings()["limits"]["notes"])


PAGES: dict[str, Callable[[], str]] = {
    "topics": topics,
    "parameters": parameters,
    "cli": cli,
    "files": files,
    "limits": limits,
}


def page(name: str) -> str:
    """The text of a page."""
    return "\n".join(line.rstrip() for line in PAGES[name]().strip().splitlines()) + "\n"


def main() -> int:
    """Write all pages."""
    for name in PAGES:
        (REFERENCE / f"{name}.md").write_text(page(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
