# SPDX-License-Identifier: Apache-2.0
"""What a running node uses, as an SROS 2 policy: topics and services, nothing else."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from rclpy.node import Node, NodeNameNonExistentError

FOLDER = Path(__file__).parents[2] / "config" / "sros2"
KINDS = {
    ("topics", "publish"): "get_publisher_names_and_types_by_node",
    ("topics", "subscribe"): "get_subscriber_names_and_types_by_node",
    ("services", "reply"): "get_service_names_and_types_by_node",
    ("services", "request"): "get_client_names_and_types_by_node",
}
Used = dict[tuple[str, str], set[str]]
WORKSPACE: dict[str, Used] = {
    "depth_node": {
        ("topics", "publish"): {"/tf", "detections", "mask/label_info"},
        ("topics", "subscribe"): {"/tf", "/tf_static"},
    }
}
"""What a node uses with tf2_ros, tf2_msgs and vision_msgs, which the wheels lack."""


def used_by(peer: Node, name: str, namespace: str) -> Used:
    """Return the names that a node uses now, as seen from another node; empty while it is unknown.

    Args:
        peer: looks at the graph.
        name: of the node.
        namespace: of the node, without a leading slash.
    """
    found = {}
    for kind, query in KINDS.items():
        try:
            names = [full for full, _ in getattr(peer, query)(name, f"/{namespace}")]
        except NodeNameNonExistentError:  # DDS may report a node's services before its name.
            names = []
        found[kind] = {_relative(full, name, namespace) for full in names}
    return found


def _relative(found: str, name: str, namespace: str) -> str:
    """A name as in a policy: `~/x` of the node, `x` of its namespace, else `/x`."""
    inside = found.removeprefix(f"/{namespace}/")
    if inside == found:
        return found
    own = inside.removeprefix(f"{name}/")
    return f"~/{own}" if own != inside else inside


def merged(*several: Used) -> Used:
    return {kind: set().union(*(one.get(kind, set()) for one in several)) for kind in KINDS}


def without_wheels(name: str, used: Used) -> Used:
    """Return the same without what only a workspace has."""
    return {kind: used[kind] - WORKSPACE.get(name, {}).get(kind, set()) for kind in KINDS}


def allowed(name: str) -> Used:
    """Read what the policy of a node allows."""
    root = ET.parse(FOLDER / f"{name}.policy.xml").getroot()
    found: Used = {}
    for group, verb in KINDS:
        elements = root.findall(f".//{group}[@{verb}='ALLOW']/{group[:-1]}")
        found[group, verb] = {element.text or "" for element in elements}
    return found


def write(name: str, used: Used) -> None:
    """Write the policy of a node."""
    root = ET.Element("policy", version="0.2.0")
    enclave = ET.SubElement(ET.SubElement(root, "enclaves"), "enclave", path=f"/{name}")
    profile = ET.SubElement(ET.SubElement(enclave, "profiles"), "profile", ns="/", node=name)
    for (group, verb), names in merged(used, WORKSPACE.get(name, {})).items():
        if names:
            parent = ET.SubElement(profile, group, {verb: "ALLOW"})
            for text in sorted(names):
                ET.SubElement(parent, group[:-1]).text = text
    ET.indent(root)
    comment = (
        "SPDX-License-Identifier: Apache-2.0\n"
        f"     What {name} uses, from the running node: python benchmarks/sros2_policies.py\n"
        "     Change ns to its namespace, and the names that you remap. Then:\n"
        f"     ros2 security create_permission KEYSTORE /{name} {name}.policy.xml"
    )
    text = ET.tostring(root, encoding="unicode")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.policy.xml"
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {comment} -->\n{text}\n')
