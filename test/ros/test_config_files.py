# SPDX-License-Identifier: Apache-2.0
"""What ships beside the code: parameter files, package.xml, the Dockerfile, the change log."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

pytest.importorskip("rclpy", reason="rcl reads the parameter files")

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2

from depth_recog.nodes.diagnostics.ledger import Ledger
from depth_recog.nodes.io.outputs import TOPICS
from depth_recog.nodes.runtime import overrides

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_rcl_reads_it(file: Path) -> None:
    """It knows no anchors and no mixed lists, unlike other YAML parsers."""
    context = Context()
    arguments = ["--ros-args", "--params-file", str(file)]
    rclpy.init(args=arguments, context=context, signal_handler_options=SignalHandlerOptions.NO)
    context.try_shutdown()
    assert overrides.sections_of(str(file))


def test_the_aggregator_finds_every_status() -> None:
    analyzers = yaml.safe_load((ROOT / "config/diagnostics.yaml").read_text())["/**"]
    groups = [g for g in analyzers["ros__parameters"].values() if isinstance(g, dict)]
    words = [word for group in groups for word in group["contains"]]
    for part in (*Ledger().report()[1], "callbacks", "weights"):
        name = f"left/depth_node: {part}"
        assert sum(word in name for word in words) == 1, name


def test_the_costmaps_topics_are_clouds_of_ours() -> None:
    nav2 = yaml.safe_load((ROOT / "config/nav2.yaml").read_text())
    layers = nav2["local_costmap"]["local_costmap"]["ros__parameters"]
    sources = [layer["camera"] for layer in layers.values() if "camera" in layer]
    topics = [source["topic"].lstrip("/") for source in sources]
    assert topics == ["depth/points_static", "depth/points"]
    assert all(TOPICS[topic] is PointCloud2 for topic in topics)
    assert nav2["lifecycle_manager_camera"]["ros__parameters"]["bond_timeout"] == 0.0


def test_package_xml_says_where_and_forces_no_rviz_on_robots() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert {url.get("type") for url in package.iter("url")} == {
        "website",
        "repository",
        "bugtracker",
    }
    needed = {entry.text for entry in package.iter("exec_depend")}
    assert "rviz2" not in needed
    imported: set[str] = set()
    for file in (ROOT / "depth_recog" / "nodes").rglob("*.py"):
        found = re.findall(r"(?:from|import) (\w+_(?:msgs|srvs|interfaces))\b", file.read_text())
        imported |= set(found)
    assert imported <= needed


def test_the_dockerfile_installs_what_setup_py_asks_for() -> None:
    text = (ROOT / "Dockerfile").read_text()
    installed = re.findall(r"pip install --no-cache-dir (.*)", text)[0].split()
    asked = re.findall(r'^ {8}"([\w.-]+)', (ROOT / "setup.py").read_text(), re.MULTILINE)
    assert set(installed) <= set(asked)
    # The tutorial and CI install the same.
    for file in ("docs/tutorials/my-camera.md", ".github/workflows/ci.yml"):
        assert " ".join(installed) in (ROOT / file).read_text(), file


def test_bloom_reads_the_change_log() -> None:
    changelog = pytest.importorskip("catkin_pkg.changelog", reason="no catkin_pkg here")
    text = (ROOT / "CHANGELOG.rst").read_text()
    # What catkin_prepare_release makes of it.
    assert text.count("\nForthcoming\n-----------\n") == 1
    released = text.replace("Forthcoming\n-----------", "0.1.0 (2026-01-02)\n------------------")
    found = changelog.Changelog()
    changelog.populate_changelog_from_rst(found, released)
    versions = list(found.foreach_version())
    assert [version for version, _, _ in versions] == ["0.1.0"]
