# SPDX-License-Identifier: Apache-2.0
"""Check config/depth.rviz against the properties of RViz, which ignores misspelt ones.

The tables were read from ros2/rviz, branch jazzy, commit 591594ee: class names from
rviz_default_plugins/plugins_description.xml; properties and options from the constructors in
rviz_default_plugins/src (displays, view_controllers, tools) and rviz_common/src (display,
ros_topic_display.hpp, message_filter_display.hpp, qos_profile_property, covariance_property,
view_controller, visualization_manager, visualization_frame).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
SCENE = yaml.safe_load((ROOT / "config" / "depth.rviz").read_text(encoding="utf-8"))
MANAGER = SCENE["Visualization Manager"]

COLOR = r"\d{1,3}; \d{1,3}; \d{1,3}"
# A type, a tuple of allowed texts, a pattern, or a dict of an own property's children; the
# property's own value is its child "Value".
QOS = {
    "Value": r"[a-z][a-z_/]*",
    "Depth": int,
    "History Policy": ("System Default", "Keep Last", "Keep All"),
    "Reliability Policy": ("System Default", "Reliable", "Best Effort"),
    "Durability Policy": ("System Default", "Transient Local", "Volatile"),
}
FILTERED = {**QOS, "Filter size": int}
VECTOR = {"X": float, "Y": float, "Z": float}
DISPLAY = {"Class": str, "Name": str, "Enabled": bool, "Value": bool}
KNOWN: dict[str, dict[str, Any]] = {
    "rviz_default_plugins/Grid": {
        **DISPLAY,
        "Reference Frame": str,
        "Plane Cell Count": int,
        "Normal Cell Count": int,
        "Cell Size": float,
        "Line Style": {"Value": ("Lines", "Billboards"), "Line Width": float},
        "Color": COLOR,
        "Alpha": float,
        "Plane": ("XY", "XZ", "YZ"),
        "Offset": VECTOR,
    },
    "rviz_default_plugins/TF": {
        **DISPLAY,
        "Show Names": bool,
        "Show Axes": bool,
        "Show Arrows": bool,
        "Marker Scale": float,
        "Update Interval": float,
        "Frame Timeout": float,
    },
    "rviz_default_plugins/Image": {
        **DISPLAY,
        "Topic": QOS,
        "Normalize Range": bool,
        "Min Value": float,
        "Max Value": float,
        "Median window": int,
    },
    "rviz_default_plugins/PointCloud2": {
        **DISPLAY,
        "Topic": FILTERED,
        "Selectable": bool,
        "Style": ("Points", "Squares", "Flat Squares", "Spheres", "Boxes", "Tiles"),
        "Size (m)": float,
        "Size (Pixels)": float,
        "Alpha": float,
        "Decay Time": float,
        "Position Transformer": ("XYZ",),
        "Color Transformer": ("RGB8", "RGBF32", "Intensity", "AxisColor", "FlatColor"),
    },
    "rviz_default_plugins/MarkerArray": {**DISPLAY, "Topic": QOS},
    "rviz_default_plugins/Odometry": {
        **DISPLAY,
        "Topic": FILTERED,
        "Position Tolerance": float,
        "Angle Tolerance": float,
        "Keep": int,
        "Shape": {"Value": ("Arrow", "Axes"), "Axes Length": float, "Axes Radius": float},
        "Covariance": {
            "Value": bool,
            "Position": {"Value": bool},
            "Orientation": {"Value": bool},
        },
    },
}
ORBIT = {
    "Class": ("rviz_default_plugins/Orbit",),
    "Name": str,
    "Value": ("Orbit (rviz)",),
    "Distance": float,
    "Focal Point": VECTOR,
    "Focal Shape Fixed Size": bool,
    "Focal Shape Size": float,
    "Invert Z Axis": bool,
    "Near Clip Distance": float,
    "Pitch": float,
    "Target Frame": str,
    "Yaw": float,
}
GLOBAL = {"Background Color": COLOR, "Fixed Frame": str, "Frame Rate": int}
TOOLS: dict[str, dict[str, Any]] = {
    "rviz_default_plugins/MoveCamera": {},
    "rviz_default_plugins/Select": {},
    "rviz_default_plugins/FocusCamera": {},
    "rviz_default_plugins/Measure": {"Line color": COLOR},
}
PANELS = ("rviz_common/Displays", "rviz_common/Views", "rviz_common/Time")


def problems(written: Any, known: Any, where: str) -> Iterator[str]:
    """Yield the entries that RViz would ignore or misread."""
    if isinstance(known, dict):
        if not isinstance(written, dict):
            yield f"{where}: {written!r} where properties belong"
            return
        for name, value in written.items():
            if name in known:
                yield from problems(value, known[name], f"{where}/{name}")
            else:
                yield f"{where}: no property {name!r}"
    elif isinstance(known, tuple):
        if written not in known:
            yield f"{where}: {written!r} is not one of {known}"
    elif isinstance(known, str):
        if not isinstance(written, str) or not re.fullmatch(known, written):
            yield f"{where}: {written!r} is not like {known}"
    elif known is float:
        if isinstance(written, bool) or not isinstance(written, (int, float)):
            yield f"{where}: {written!r} is not a number"
    elif type(written) is not known:
        yield f"{where}: {written!r} is not a {known.__name__}"


@pytest.mark.parametrize("display", MANAGER["Displays"], ids=lambda display: display["Name"])
def test_displays_have_properties_that_rviz_knows(display: dict[str, Any]) -> None:
    assert list(problems(display, KNOWN[display["Class"]], display["Name"])) == []
    assert display["Enabled"] == display["Value"]


def test_options_view_tools_and_panels_are_known() -> None:
    found = [*problems(MANAGER["Global Options"], GLOBAL, "Global Options")]
    found += problems(MANAGER["Views"]["Current"], ORBIT, "Current")
    for tool in MANAGER["Tools"]:
        found += problems(tool, {"Class": str, **TOOLS[tool["Class"]]}, tool["Class"])
    assert found == []
    assert all(panel["Class"] in PANELS for panel in SCENE["Panels"])
    names = [display["Name"] for display in MANAGER["Displays"]]
    assert len(set(names)) == len(names)


def test_the_check_finds_mistakes() -> None:
    bad = {
        "Class": "rviz_default_plugins/Image",
        "Enabled": "true",
        "Colour": "1; 2; 3",
        "Topic": {"Value": "/image", "Reliability Policy": "best effort"},
        "Max Value": "80",
    }
    found = list(problems(bad, KNOWN[bad["Class"]], "bad"))
    assert len(found) == 5, found


def test_topics_are_those_of_the_node() -> None:
    """Topics are relative, of the right type, and match any publisher's QoS."""
    pytest.importorskip("rclpy", reason="the topics need rclpy")
    from depth_recog.nodes.io.outputs import TOPICS

    others = {"image": "Image", "objects": "MarkerArray", "depth/points": "PointCloud2"}
    others["odom"] = "Odometry"
    types = others | {topic: kind.__name__ for topic, kind in TOPICS.items()}
    for display in MANAGER["Displays"]:
        if "Topic" in display:
            topic = display["Topic"]
            # A display has the name of its message.
            assert types[topic["Value"]] == display["Class"].split("/")[1]
            assert topic["Reliability Policy"] == "Best Effort"
            assert topic["Durability Policy"] == "Volatile"
