# SPDX-License-Identifier: Apache-2.0
"""Draw the scene of config/depth.rviz for the documentation, without RViz.

python benchmarks/rviz_scene.py SOURCE [--frame 60] [--out docs/images/rviz_scene.png]

Runs the nodes, subscribes to the topics that RViz would show, and draws one frame with the view and
the grid of the file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from common import ROOT, recording, use_local_ros
from numpy.typing import NDArray

use_local_ros()

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from depth_recog.nodes.io.messages import stamp_ns
from depth_recog.nodes.io.seam import image_to_rgb
from depth_recog.nodes.runtime import children

RGB = NDArray[np.uint8]
NAMESPACE = "rviz_scene"
POINTS, OBJECTS = "depth/points", "objects"
TOPICS: dict[str, type] = {
    **dict.fromkeys(("image", "debug/color", "debug/objects", "depth/image_rect"), Image),
    POINTS: PointCloud2,
    OBJECTS: MarkerArray,
}
VIEW_SIZE = (1000, 640)
PANEL_WIDTH = 600
HEAD_HEIGHT = 22
SMALL = (cv2.IMWRITE_PNG_COMPRESSION, 9)
WHITE = (235, 235, 235)
FIELD_OF_VIEW = np.pi / 4  # vertical, as RViz's
# REP 103: from x right, y down, z forward to x forward, y left, z up.
LINK_FROM_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def listen(source: str, number: int) -> dict[str, Any]:
    """All messages with the stamp of one image of a source, by topic."""
    sequence, _ = recording(source)
    wanted = sequence[number].stamp_ns
    heard: dict[str, Any] = {}

    def keeper(topic: str) -> Any:
        def keep(message: Any) -> None:
            # A MarkerArray has no header.
            stamped = message.markers[0] if topic == OBJECTS else message
            if stamp_ns(stamped.header) == wanted:
                heard[topic] = message

        return keep

    rclpy.init(args=[])
    node = rclpy.create_node("rviz_scene", namespace=NAMESPACE)
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    for topic, kind in TOPICS.items():
        node.create_subscription(kind, topic, keeper(topic), qos)
    played = {"source": source, "stamps": "recorded", "limit": number + 5, "rate": 2.0}
    processes = [
        children.start("depth_node", NAMESPACE, {}),
        children.start("camera_node", NAMESPACE, played | {"wait_for_node": "depth_node"}),
    ]
    try:
        deadline = time.monotonic() + 60 + number
        while processes[1].poll() is None and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        for process in processes:
            children.end(process)
        rclpy.shutdown()
    missing = sorted(set(TOPICS) - set(heard))
    if missing:
        raise SystemExit(f"no message on {missing} for frame {number}")
    return heard


def unpacked(message: PointCloud2) -> tuple[NDArray[np.float64], RGB]:
    """The finite points of a PointCloud2 with x, y, z and rgb."""
    names = ("x", "y", "z", "rgb")
    offsets = {field.name: field.offset for field in message.fields}
    layout = np.dtype(
        {
            "names": names,
            "formats": ["<f4", "<f4", "<f4", "<u4"],
            "offsets": [offsets[name] for name in names],
            "itemsize": message.point_step,
        }
    )
    values = np.frombuffer(message.data, layout)
    points = np.stack([values[name] for name in "xyz"], axis=1).astype(np.float64)
    shifted = values["rgb"][:, None] >> np.array([16, 8, 0], np.uint32)
    finite = np.isfinite(points).all(axis=1)
    return points[finite], (shifted & 255).astype(np.uint8)[finite]


class Orbit:
    """RViz's Orbit view of camera_link's frame."""

    def __init__(self, view: dict[str, Any]) -> None:
        focus = np.array([view["Focal Point"][axis] for axis in "XYZ"], float)
        yaw, pitch = view["Yaw"], view["Pitch"]
        away = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        self.eye = focus + view["Distance"] * away
        right = np.cross(-away, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        self.axes = np.stack([right, np.cross(-away, right), -away])
        self.focal = VIEW_SIZE[1] / 2 / np.tan(FIELD_OF_VIEW / 2)

    def project(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 2) pixels and (N,) distances along the view of (N, 3) points."""
        seen = (points - self.eye) @ self.axes.T
        z = seen[:, 2]
        pixels = seen[:, :2] / np.where(z > 0.1, z, np.nan)[:, None] * self.focal
        return pixels + np.array(VIEW_SIZE) / 2, z


def draw_squares(
    picture: RGB, view: Orbit, points: NDArray[np.float64], colors: RGB, size: float
) -> None:
    """Draw squares of `size` metres, the near over the far."""
    pixels, z = view.project(points)
    sides = np.clip(np.rint(view.focal * size / np.maximum(z, 0.1)), 1, 12).astype(int)
    height, width = picture.shape[:2]
    inside = np.isfinite(pixels).all(axis=1) & (z > 0.1)
    order = np.flatnonzero(inside)[np.argsort(-z[inside])]
    # All squares of one size at once, from the far and small to the near and large.
    for side in range(1, 13):
        chosen = order[sides[order] == side]
        corner = np.floor(pixels[chosen] - side / 2).astype(int)
        for dv in range(side):
            for du in range(side):
                u, v = corner[:, 0] + du, corner[:, 1] + dv
                on = (u >= 0) & (u < width) & (v >= 0) & (v < height)
                picture[v[on], u[on]] = colors[chosen[on]]


def draw_line(picture: RGB, view: Orbit, ends: Any, color: tuple[int, ...], width: int) -> None:
    """Draw a line in space in short pieces, without those behind the viewer."""
    first, last = (np.asarray(end, float) for end in ends)
    steps = first + (last - first) * np.linspace(0, 1, 101)[:, None]
    pixels, z = view.project(steps)
    for a, b, near in zip(pixels[:-1], pixels[1:], np.minimum(z[:-1], z[1:]), strict=True):
        if near > 0.1 and np.abs(np.concatenate([a, b])).max() < 1e4:
            ends = np.rint([a, b]).astype(int).tolist()
            cv2.line(picture, *ends, color, width, cv2.LINE_AA)


def draw_view(scene: dict[str, Any], heard: dict[str, Any]) -> RGB:
    """The 3-D view: grid, frame, points, objects."""
    manager = scene["Visualization Manager"]
    displays = {display["Name"]: display for display in manager["Displays"]}
    grid, cloud = displays["Ground"], displays["Points"]
    view = Orbit(manager["Views"]["Current"])
    background = [int(part) for part in manager["Global Options"]["Background Color"].split(";")]
    picture = np.full((VIEW_SIZE[1], VIEW_SIZE[0], 3), background, np.uint8)
    half = grid["Plane Cell Count"] * grid["Cell Size"] / 2
    height = grid["Offset"]["Z"]
    for place in np.linspace(-half, half, grid["Plane Cell Count"] + 1):
        for ends in (
            ((place, -half, height), (place, half, height)),
            ((-half, place, height), (half, place, height)),
        ):
            draw_line(picture, view, ends, (82, 82, 83), 1)
    points, colors = unpacked(heard[POINTS])
    draw_squares(picture, view, points @ LINK_FROM_OPTICAL.T, colors, cloud["Size (m)"])
    for axis, color in zip(np.eye(3), ((230, 40, 40), (40, 200, 40), (60, 90, 255)), strict=True):
        draw_line(picture, view, ((0, 0, 0), axis), color, 3)
    draw_markers(picture, view, heard[OBJECTS])
    pixels, _ = view.project(np.zeros((1, 3)))
    write(picture, "camera_link", tuple((pixels[0] + (8, 18)).astype(int).tolist()))
    return picture


def draw_markers(picture: RGB, view: Orbit, array: MarkerArray) -> None:
    """Draw boxes, arrows and texts, the far ones first."""
    shown = [marker for marker in array.markers if marker.action == Marker.ADD]
    for marker in sorted(shown, key=lambda m: -m.pose.position.z):
        rgb = color_of(marker)
        if marker.type == Marker.CUBE:
            place, size = vector(marker.pose.position), vector(marker.scale)
            draw_box(picture, view, place, size, rgb, marker.color.a)
        elif marker.type == Marker.ARROW:
            ends = [LINK_FROM_OPTICAL @ vector(point) for point in marker.points]
            draw_line(picture, view, ends, rgb, 3)
            pixels, _ = view.project(ends[1][None])
            if np.isfinite(pixels).all():
                cv2.circle(picture, np.rint(pixels[0]).astype(int).tolist(), 5, rgb, -1)
    for marker in shown:
        if marker.type == Marker.TEXT_VIEW_FACING:
            pixels, z = view.project((LINK_FROM_OPTICAL @ vector(marker.pose.position))[None])
            size = view.focal * marker.scale.z / max(z[0], 0.1) / 22
            (width, _), _ = cv2.getTextSize(marker.text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
            text = marker.text.replace("±", "+-")  # OpenCV's fonts are ASCII
            if z[0] > 0.1 and size > 0.3:
                place = tuple((pixels[0] - (width / 2, 0)).astype(int).tolist())
                write(picture, text, place, size, color_of(marker))


def draw_box(
    picture: RGB,
    view: Orbit,
    centre: NDArray[np.float64],
    size: NDArray[np.float64],
    rgb: tuple[int, ...],
    alpha: float,
) -> None:
    """Draw a translucent box along the optical frame's axes."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = (centre + signs * size / 2) @ LINK_FROM_OPTICAL.T
    pixels, z = view.project(corners)
    if z.min() < 0.1:
        return
    hull = cv2.convexHull(np.rint(pixels).astype(np.int32))
    filled = cv2.fillConvexPoly(picture.copy(), hull, rgb)
    cv2.addWeighted(filled, alpha / 2, picture, 1 - alpha / 2, 0, picture)
    for i, first in enumerate(signs):
        for j, second in enumerate(signs[:i]):
            if np.abs(first - second).sum() == 2:
                draw_line(picture, view, (corners[i], corners[j]), rgb, 1)


def color_of(marker: Marker) -> tuple[int, ...]:
    """RGB, 0..255."""
    return tuple(round(255 * c) for c in (marker.color.r, marker.color.g, marker.color.b))


def vector(message: Any) -> NDArray[np.float64]:
    """(3,) of a Point or Vector3."""
    return np.array((message.x, message.y, message.z))


def write(
    picture: RGB,
    text: str,
    place: tuple[int, ...],
    size: float = 0.45,
    rgb: tuple[int, ...] = WHITE,
) -> None:
    """Draw text that begins at `place`."""
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, rgb, 1, cv2.LINE_AA)


def strip(width: int, text: str) -> RGB:
    """A strip with a line of text."""
    picture = np.full((HEAD_HEIGHT, width, 3), 60, np.uint8)
    write(picture, text, (6, 15))
    return picture


def draw_panels(scene: dict[str, Any], heard: dict[str, Any]) -> RGB:
    """The enabled image displays, one below the other."""
    rows = []
    for display in scene["Visualization Manager"]["Displays"]:
        if display["Class"] == "rviz_default_plugins/Image" and display["Enabled"]:
            topic = display["Topic"]["Value"]
            image = image_to_rgb(heard[topic])
            size = (PANEL_WIDTH, round(image.shape[0] * PANEL_WIDTH / image.shape[1]))
            rows.append(strip(PANEL_WIDTH, f"{display['Name']}: {topic}"))
            rows.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    column = np.vstack(rows)
    rest = max(0, VIEW_SIZE[1] - column.shape[0])
    return np.pad(column, ((0, rest), (0, 8), (0, 0)), constant_values=30)[: VIEW_SIZE[1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--frame", type=int, default=60)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "rviz_scene.png")
    options = parser.parse_args()
    scene = yaml.safe_load((ROOT / "config" / "depth.rviz").read_text(encoding="utf-8"))
    heard = listen(options.source, options.frame)
    picture = np.hstack([draw_panels(scene, heard), draw_view(scene, heard)])
    foot = strip(picture.shape[1], "config/depth.rviz, drawn by benchmarks/rviz_scene.py, not RViz")
    cv2.imwrite(str(options.out), np.vstack([picture, foot])[..., ::-1], SMALL)
    print(options.out)


if __name__ == "__main__":
    main()
