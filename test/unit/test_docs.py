# SPDX-License-Identifier: Apache-2.0
"""The pages below docs/reference are what docs/generate.py writes; links and names are right."""

import importlib.util
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["topics", "parameters", "cli", "files", "limits"])
def test_a_reference_page_is_what_the_code_says(name, generate):
    if name in ("topics", "parameters"):
        pytest.importorskip("rclpy", reason="the nodes need rclpy")
    page = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert generate.page(name) == page, "run python docs/generate.py"


def test_a_name_without_a_meaning_is_an_error(generate):
    with pytest.raises(ValueError, match=r"without meaning \['b'\]"):
        generate.matched({"a", "b"}, {"a": "first"}, "here")


def test_a_meaning_without_a_name_is_an_error(generate):
    with pytest.raises(ValueError, match=r"not there \['c\.\*'\]"):
        generate.matched({"a"}, {"a, c.*": "both"}, "here")


@pytest.mark.parametrize("name", ["depth", "trainer"])
def test_every_default_of_the_parameters_file_is_the_declared_one(name):
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("rclpy", reason="the declarations need rclpy")
    from depth_recog.nodes.runtime.depth_parameters import SPECS
    from depth_recog.nodes.trainer import parameters as trainer

    specs = {"depth": SPECS, "trainer": trainer.SPECS}[name]
    file = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    written = file["/**"]["ros__parameters"]
    assert written == {spec.name: spec.default for spec in specs}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in headings(file), f"{page.name} links to {target}"


def headings(page):
    """Anchors as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_python_file_named_in_the_pages_exists():
    folders = ("depth_recog", "recipes", "benchmarks", "launch", "docs", "test")
    files = ["/" + str(p.relative_to(ROOT)) for f in folders for p in (ROOT / f).rglob("*.py")]
    for page in PAGES:
        for name in re.findall(r"`([\w/*]+\.py)`", page.read_text("utf-8")):
            found = any(fnmatch(file, f"*/{name}") for file in files)
            assert found, f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_left_to_be_filled_in(page):
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", page.read_text(encoding="utf-8"))


def test_every_kind_of_source_has_its_row():
    from depth_recog.datasets.sources import READERS

    text = (DOCS / "reference" / "sources.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(READERS)


def test_every_command_line_in_the_pages_has_options_that_exist():
    """Of `depth-recog`; what follows a launch file or a node is checked with the nodes."""
    reference = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    verbs = dict(re.findall(r"^## depth-recog (\w+)\n(.*?)(?=^## |\Z)", reference, re.M | re.S))
    shared = reference.partition("## Pipeline options")[2]
    for page in PAGES:
        for verb, rest in re.findall(r"depth-recog (\w+)([^`\n]*)", page.read_text("utf-8")):
            if verb not in verbs:
                continue
            section = verbs[verb] + (shared if "pipeline options" in verbs[verb] else "")
            for option in re.findall(r"--[a-z][a-z-]*", rest.partition(" #")[0]):
                known = option == "--help" or f"`{option}" in section
                assert known, f"{page.name}: depth-recog {verb} {option}"


def test_every_launch_argument_in_the_pages_exists():
    common = (ROOT / "depth_recog/nodes/runtime/launching.py").read_text("utf-8")
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        for name, rest in re.findall(r"depth_recog (\w+\.launch\.py)([^`\n]*)", text):
            declared = (ROOT / "launch" / name).read_text("utf-8") + common
            known = set(re.findall(r"Argument\(\s*\"(\w+)\"", declared))
            assert set(re.findall(r"(\w+):=", rest)) <= known, f"{page.name}: {name}"
