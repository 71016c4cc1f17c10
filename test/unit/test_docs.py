# SPDX-License-Identifier: Apache-2.0
"""docs/ros.md's parameter tables are the declarations. `python test/test_docs.py` renews them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROS = ROOT / "docs" / "ros.md"
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"]
HEAD = "| parameter | default | allowed | takes effect | what |\n|---|---|---|---|---|\n"


def value_text(value):
    if value == "":
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value)


def table(specs):
    rows = []
    for spec in specs:
        allowed = ", ".join(spec.choices)
        if spec.least is not None:
            whole = isinstance(spec.default, int)
            allowed = (
                f"{int(spec.least)} to {int(spec.most)}"
                if whole
                else f"{spec.least:g} to {spec.most:g}"
            )
        when = "at once" if spec.live else "at configure"
        cells = (f"`{spec.name}`", value_text(spec.default), allowed, when, spec.description)
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def tables():
    pytest.importorskip("rclpy", reason="the declarations need rclpy")
    from depth_recog.nodes import camera_node, depth_node

    return {"depth_node": table(depth_node.SPECS), "camera_node": table(camera_node.SPECS)}


def renewed(text, node, content):
    pattern = f"(<!-- {node} parameters -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda m: m[1] + content + m[2], text, flags=re.S)


def test_parameter_tables_are_current():
    text = ROS.read_text(encoding="utf-8")
    for node, content in tables().items():
        assert f"<!-- {node} parameters -->" in text
        assert renewed(text, node, content) == text, "run python test/test_docs.py"


def test_every_default_of_the_parameters_file_is_the_declared_one():
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("rclpy", reason="the declarations need rclpy")
    from depth_recog.nodes import depth_node

    file = yaml.safe_load((ROOT / "config" / "depth.yaml").read_text(encoding="utf-8"))
    written = file["/**"]["ros__parameters"]
    assert written == {spec.name: spec.default for spec in depth_node.SPECS}


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_be_filled_in(page):
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", page.read_text(encoding="utf-8"))


def test_every_kind_of_source_has_its_row():
    from depth_recog.datasets.sources import READERS

    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(READERS)


def test_every_documented_topic_exists():
    pytest.importorskip("rclpy", reason="the topics need rclpy")
    from depth_recog.nodes.io.outputs import TOPICS

    text = ROS.read_text(encoding="utf-8")
    assert all(f"`{topic}`" in text for topic in TOPICS)


if __name__ == "__main__":
    content = ROS.read_text(encoding="utf-8")
    for name, rows in tables().items():
        content = renewed(content, name, rows)
    ROS.write_text(content, encoding="utf-8")
