# SPDX-License-Identifier: Apache-2.0
"""Breaks the method in one place at a time and asks whether the tests notice.

Every mutation is one string replaced by another in a copy of the package; the working tree is not
touched. Run from the repository's root:

    python benchmarks/mutants.py              # all of them, as a Markdown table
    python benchmarks/mutants.py "hat: sign"  # those whose names or files contain a text
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300


class Mutant(NamedTuple):
    """`old`, which stands once in `file` (below depth_recog/), becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def method(name: str, module: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of a module of the method, with the tests that should catch it, in order."""
    return Mutant(name, f"method/{module}.py", old, new, tests or (module,))


def bags(name: str, module: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of the reader of bags."""
    return Mutant(name, f"datasets/bags/{module}.py", old, new, tests or ("rosbag",))


def evaluation(name: str, module: str, old: str, new: str, test: str) -> Mutant:
    """A mutant of a module of the evaluation, with the test that should catch it."""
    return Mutant(name, f"evaluation/{module}.py", old, new, (test,))


def training(name: str, module: str, old: str, new: str, tests: str) -> Mutant:
    """A mutant of a module of the training, with the test file that should catch it."""
    return Mutant(name, f"training/{module}.py", old, new, (f"training_{tests}",))


MUTANTS = (
    # Signs.
    method("hat: sign of one element", "se3", "(zero, -z, y, z,", "(zero, -z, y, -z,"),
    method(
        "hat: all signs",
        "se3",
        "(zero, -z, y, z, zero, -x, -y, x, zero)",
        "(zero, z, -y, -z, zero, x, y, -x, zero)",
    ),
    method("exp_rotation: series at zero", "se3", "1 - square / 6", "1 + square / 6"),
    method("exp_rotation: no switch at zero", "se3", "square < 1e-8", "square < 0"),
    method(
        "inverse: sign of the translation",
        "se3",
        "translation = -(rotation @",
        "translation = (rotation @",
    ),
    method(
        "inverse_matrix: sign of the translation",
        "se3",
        "result[:3, 3] = -matrix",
        "result[:3, 3] = matrix",
    ),
    method(
        "covariance: sign of the rotation's Jacobian",
        "pnp",
        "(zero, c, -b, -c, zero, a, b, -a, zero)",
        "(zero, -c, b, c, zero, -a, -b, a, zero)",
        "pose_estimators",
    ),
    method(
        "covariance: derivative by depth", "pnp", "-fy * y / z**2", "-fy * y / z", "pose_estimators"
    ),
    method(
        "triangulation: sign",
        "epipolar",
        "(ab * bt - bb * at_)",
        "(bb * at_ - ab * bt)",
        "pose_estimators",
    ),
    method("smoothness: sign of exp", "smoothness", "(-edges).exp()", "edges.exp()"),
    # Transposes.
    method(
        "inverse: rotation not transposed",
        "se3",
        "matrix[..., :3, :3].transpose(-1, -2)",
        "matrix[..., :3, :3]",
    ),
    method(
        "project: rotation transposed",
        "projection",
        "T_second_from_first[:, :3, :3] @ points",
        "T_second_from_first[:, :3, :3].mT @ points",
    ),
    method(
        "backproject: K transposed",
        "projection",
        "torch.linalg.inv(intrinsics)",
        "torch.linalg.inv(intrinsics).mT",
    ),
    method(
        "covariance: rotation transposed",
        "pnp",
        "points @ T_second_from_first[:3, :3].T",
        "points @ T_second_from_first[:3, :3]",
        "pose_estimators",
    ),
    method(
        "epipolar residual: rotation transposed",
        "epipolar",
        "turned = first @ T_second_from_first[:3, :3].T",
        "turned = first @ T_second_from_first[:3, :3]",
        "pose_estimators",
    ),
    # K.
    method(
        "K: cx and cy exchanged",
        "camera",
        "[[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy]",
        "[[self.fx, 0.0, self.cy], [0.0, self.fy, self.cx]",
    ),
    method(
        "K: fx and fy exchanged",
        "camera",
        "[[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy]",
        "[[self.fy, 0.0, self.cx], [0.0, self.fx, self.cy]",
    ),
    method(
        "backproject: K for its inverse", "projection", "torch.linalg.inv(intrinsics)", "intrinsics"
    ),
    method(
        "project: inverse of K for K",
        "projection",
        "homogeneous = intrinsics @ moved",
        "homogeneous = torch.linalg.inv(intrinsics) @ moved",
    ),
    method(
        "project: not divided by depth",
        "projection",
        "homogeneous[:, :2] / torch.where(front, z, torch.ones_like(z))",
        "homogeneous[:, :2]",
    ),
    method(
        "lift: fx for fy",
        "pnp",
        "(pixels[:, 1] - camera.cy) / camera.fy * z",
        "(pixels[:, 1] - camera.cy) / camera.fx * z",
        "pose_estimators",
    ),
    method(
        "camera coordinates: fx for fy",
        "epipolar",
        "- camera.cy) / camera.fy",
        "- camera.cy) / camera.fx",
        "pose_estimators",
    ),
    # Where a pixel is.
    method(
        "sample: align_corners",
        "projection",
        "align_corners=False\n    )",
        "align_corners=True\n    )",
    ),
    method(
        "sample: half a pixel dropped", "projection", "(pixels + 0.5) * scale", "pixels * scale"
    ),
    method(
        "sample: width and height exchanged",
        "projection",
        "[2 / width, 2 / height]",
        "[2 / height, 2 / width]",
    ),
    method("sample: zeros outside", "projection", 'padding_mode="border"', 'padding_mode="zeros"'),
    method(
        "resized: half a pixel dropped",
        "camera",
        "cx=(self.cx + 0.5) * sx - 0.5",
        "cx=self.cx * sx",
    ),
    method(
        "resized: half a pixel not taken back",
        "camera",
        "cy=(self.cy + 0.5) * sy - 0.5",
        "cy=(self.cy + 0.5) * sy",
    ),
    method("resized: one scale for both axes", "camera", "fy=self.fy * sy", "fy=self.fy * sx"),
    method("cropped: wrong way", "camera", "cx=self.cx - x", "cx=self.cx + x"),
    method("flipped: one pixel off", "camera", "self.width - 1 - self.cx", "self.width - self.cx"),
    method(
        "viewport: network's intrinsics not resized",
        "viewport",
        "target.resized(*size), maps)",
        "target, maps)",
    ),
    method(
        "viewport: labels by the old nearest",
        "viewport",
        "cv2.INTER_NEAREST_EXACT",
        "cv2.INTER_NEAREST",
    ),
    method(
        "viewport: rectification turned back",
        "viewport",
        "turn = np.eye(3) if rotation is None else rotation",
        "turn = np.eye(3) if rotation is None else rotation.T",
    ),
    # The order of the two frames.
    method(
        "relative: frames exchanged",
        "se3",
        "inverse_matrix(world_from_second) @ world_from_first",
        "inverse_matrix(world_from_first) @ world_from_second",
    ),
    method(
        "step: compare's frames exchanged",
        "recognizer",
        "self.compare(partner, frame, watch)",
        "self.compare(frame, partner, watch)",
    ),
    method(
        "compare: track's images exchanged",
        "recognizer",
        "track(first.grey, second.grey,",
        "track(second.grey, first.grey,",
    ),
    method(
        "compare: sign of dt",
        "recognizer",
        "seconds = (second.stamp_ns - first.stamp_ns) / 1e9\n        thresholds",
        "seconds = (first.stamp_ns - second.stamp_ns) / 1e9\n        thresholds",
    ),
    method(
        "compare: masks of the frames exchanged",
        "recognizer",
        "matches, ~wide1, ~wide2)",
        "matches, ~wide2, ~wide1)",
    ),
    method(
        "track: forward-backward check dropped",
        "correspondences",
        "axis=1) < tolerance",
        "axis=1) < np.inf",
    ),
    method(
        "within: second image not asked",
        "correspondences",
        "at(keep_first, self.first) & at(keep_second, self.second)",
        "at(keep_first, self.first) & at(keep_second, self.first)",
    ),
    method(
        "at: cut off instead of rounded",
        "correspondences",
        "np.clip(np.rint(pixels[:, 0]).astype(int)",
        "np.clip(pixels[:, 0].astype(int)",
    ),
    method(
        "epipolar residual: factors in the text's order",
        "epipolar",
        "(second * np.cross(t / np.linalg.norm(t), turned)).sum(1)",
        "(first * np.cross(t / np.linalg.norm(t), second @ T_second_from_first[:3, :3].T)).sum(1)",
        "pose_estimators",
    ),
    method(
        "epipolar: second image first",
        "epipolar",
        """            essential,
            first[:, :2].copy(),
            second[:, :2].copy(),
""",
        """            essential,
            second[:, :2].copy(),
            first[:, :2].copy(),
""",
        "pose_estimators",
    ),
    method(
        "epipolar: length not fitted",
        "epipolar",
        "matrix[:3, 3] *= length",
        "matrix[:3, 3] *= 1.0",
        "pose_estimators",
    ),
    method(
        "network: frames exchanged",
        "network_pose",
        "(pair.first, pair.second)\n",
        "(pair.second, pair.first)\n",
        "pose_estimators",
    ),
    # The loss.
    method(
        "masked mean: divided by all pixels",
        "photometric",
        "total / count.clamp(min=1)",
        "total / valid[0].numel()",
    ),
    method("masked mean: no guard for none", "photometric", "count.clamp(min=1)", "count"),
    method(
        "masked mean: multiplied instead of chosen",
        "photometric",
        "torch.where(valid, values, torch.zeros_like(values))",
        "(values * valid)",
    ),
    method(
        "alpha exchanged",
        "photometric",
        "alpha * structure + (1 - alpha) * difference",
        "(1 - alpha) * structure + alpha * difference",
    ),
    method("alpha's default", "photometric", "ALPHA = 0.85", "ALPHA = 0.15"),
    method("SSIM: c1", "photometric", "(0.01 * dynamic_range)", "(0.1 * dynamic_range)"),
    method("SSIM: c2", "photometric", "(0.03 * dynamic_range)", "(0.02 * dynamic_range)"),
    method(
        "SSIM: not halved",
        "photometric",
        "((1 - ssim(first, second)) / 2)",
        "(1 - ssim(first, second))",
    ),
    method(
        "windows that touch a mask kept",
        "photometric",
        "return invalid == 0",
        "return valid | (invalid == 0)",
    ),
    method(
        "four taps: only the nearest",
        "projection",
        "sample(mask.to(pixels.dtype), pixels) > 0",
        "sample(mask.to(pixels.dtype), pixels) > 0.5",
    ),
    method(
        "mask of I2 not asked",
        "loss",
        "valid & ~touches(masked_second, projection.pixels)",
        "valid",
    ),
    method("mask of I1 upside down", "loss", "valid & ~masked_first", "valid & masked_first"),
    method("valid: behind the camera too", "projection", "front = z > NEAREST", "front = z != 0"),
    method(
        "valid: unknown depth too",
        "projection",
        "front.view(batch, 1, height, width) & finite",
        "front.view(batch, 1, height, width)",
    ),
    method(
        "valid: negative depth too",
        "projection",
        "torch.isfinite(depth) & (depth > 0)",
        "torch.isfinite(depth)",
    ),
    method(
        "valid: outside on the right too",
        "projection",
        "(u <= columns - 1 + _BORDER)",
        "(u <= columns + _BORDER)",
    ),
    method(
        "empty pairs counted",
        "loss",
        "(counts > 0).sum().clamp(min=1)",
        "(counts >= 0).sum().clamp(min=1)",
    ),
    method(
        "minimum over neighbours: maximum",
        "loss",
        "least = stacked.amin(0)",
        "least = stacked.amax(0)",
    ),
    method(
        "still pixels: the other way",
        "loss",
        "unmoved.amin(0) <= error",
        "unmoved.amin(0) >= error",
    ),
    method("still pixels: strict", "loss", "unmoved.amin(0) <= error", "unmoved.amin(0) < error"),
    method("still pixels: the worst neighbour", "loss", "unmoved.amin(0)", "unmoved.amax(0)"),
    method(
        "smoothness: weight forgotten",
        "loss",
        "structure + smoothness * gradient",
        "structure + gradient",
    ),
    method(
        "smoothness: of depth", "loss", "gradient_error(inverse, x)", "gradient_error(depth, x)"
    ),
    method(
        "smoothness: not normalised",
        "smoothness",
        "d / (d.sum((2, 3), keepdim=True) / count).clamp(min=1e-7)",
        "d + 0 * count",
    ),
    # Categories and the gate.
    method(
        "softmax over pixels", "masking", "torch.softmax(scores, 1)", "torch.softmax(scores, 2)"
    ),
    method(
        "static and dynamic image exchanged",
        "masking",
        "return masked_image(image, dynamic)",
        "return masked_image(image, ~dynamic)",
    ),
    method(
        "dilation dropped",
        "masking",
        "np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)",
        "np.ones((1, 1), np.uint8)",
    ),
    method(
        "margin not used", "recognizer", "masking.dilated(first.dynamic, margin)", "first.dynamic"
    ),
    method(
        "dynamic pose from static pixels",
        "recognizer",
        "matches, first.dynamic, second.dynamic)",
        "matches, ~first.dynamic, ~second.dynamic)",
    ),
    method(
        "target pose masked",
        "recognizer",
        "matches, everything, everything)",
        "matches, ~wide1, ~wide2)",
    ),
    method(
        "gate: not strictly above",
        "gate_image",
        "(difference > thresholds).any()",
        "(difference >= thresholds).any()",
    ),
    method(
        "gate: all elements",
        "gate_image",
        "(difference > thresholds).any()",
        "(difference > thresholds).all()",
    ),
    method(
        "gate: rotation's threshold not scaled by dt",
        "gate_image",
        "self.rotation * seconds",
        "self.rotation",
    ),
    method(
        "gate: translation's threshold not scaled by dt",
        "gate_image",
        "self.translation * seconds",
        "self.translation",
    ),
    method("gate: fourth row fires", "gate_image", "np.full((4, 4), np.inf)", "np.zeros((4, 4))"),
    method(
        "gate: signed difference", "gate_image", "np.abs(static - dynamic)", "(static - dynamic)"
    ),
    method(
        "gate: undecided is still",
        "observation",
        "self.decision.motion is not Motion.STILL",
        "self.decision.motion is Motion.MOVING",
        "recognizer",
    ),
    method(
        "target: masked where nothing moves",
        "target",
        "masked = dynamic & decisions",
        "masked = dynamic | decisions",
    ),
    method(
        "target: projection not masked",
        "target",
        "torch.where(masked, zero, projection), masked)",
        "projection, masked)",
    ),
    # The partner.
    method(
        "partner: gap grows with too much motion",
        "partner",
        "if motion > MOST_MOTION:",
        "if motion < LEAST_MOTION / 2:",
    ),
    method(
        "partner: older than the limit",
        "partner",
        "if stamp_ns - candidate.stamp_ns <= self._longest_ns:",
        "if True:",
    ),
    method("partner: time may go back", "partner", "if step <= 0:", "if step <= -(10**18):"),
    method(
        "partner: gap kept over a cut",
        "partner",
        "self._frames.clear()\n        self._gap = 1",
        "self._frames.clear()",
    ),
    method(
        "cut not noticed", "recognizer", "len(pair.matches) < _LEAST_FOUND", "len(pair.matches) < 0"
    ),
    # What comes in and goes out.
    method(
        "depth range: NaN kept as far",
        "viewport",
        "limited[~(limited >= nearest)]",
        "limited[limited < -1]",
    ),
    method("sky: near obstacles vanish", "viewport", "sky & (limited > farthest / 2)", "sky"),
    # What goes in and out of the nodes.
    method(
        "trajectory: from the last frame, not the partner",
        "trajectory",
        "_continued(self._places[pair.first.name], pair)",
        "_continued(self._seen, pair)",
    ),
    method(
        "trajectory: motion not inverted",
        "trajectory",
        "motion = inverse_matrix(T)\n",
        "motion = T\n",
    ),
    method(
        "trajectory: a wrong heading moves nothing",
        "trajectory",
        "return pose, by_place @ place.covariance @ by_place.T",
        "return pose, place.covariance",
    ),
    method(
        "trajectory: sign of the heading's lever",
        "trajectory",
        "by_place[3:, :3] = -cross_matrix",
        "by_place[3:, :3] = cross_matrix",
    ),
    method(
        "trajectory: sign of the pair's lever",
        "trajectory",
        "[-R @ cross_matrix(T[:3, 3]), -R]",
        "[R @ cross_matrix(T[:3, 3]), -R]",
    ),
    method(
        "trajectory: the motion never ends",
        "trajectory",
        "believed = min(gap, HORIZON_S)",
        "believed = gap",
    ),
    method(
        "trajectory: time may go back",
        "trajectory",
        "(now - self._stamp_ns) / 1e9 < -HORIZON_S",
        "(now - self._stamp_ns) / 1e9 < -1e9",
    ),
    Mutant(
        "odometry: rotation before translation",
        "nodes/odometry.py",
        "np.block([[zero, to_axes], [to_axes, zero]])",
        "np.block([[to_axes, zero], [zero, to_axes]])",
        ("odometry",),
    ),
    Mutant(
        "odometry: the child keeps its optical axes",
        "nodes/odometry.py",
        "_FORWARD_FROM_OPTICAL @ rotation @ child_from_optical.T",
        "_FORWARD_FROM_OPTICAL @ rotation",
        ("odometry",),
    ),
    Mutant(
        "points: red and blue exchanged",
        "nodes/points.py",
        "colours[::every, ::every, ::-1]",
        "colours[::every, ::every]",
        ("points",),
    ),
    Mutant(
        "points: column counted in points",
        "nodes/points.py",
        "np.arange(columns, dtype=np.float32) * every",
        "np.arange(columns, dtype=np.float32)",
        ("points",),
    ),
    Mutant(
        "compressedDepth: cut off instead of rounded",
        "nodes/compressed_depth.py",
        "np.rint(inverse + np.float32(b))",
        "np.floor(inverse + np.float32(b))",
        ("compressed_depth",),
    ),
    Mutant(
        "compressedDepth: beyond range is far",
        "nodes/compressed_depth.py",
        "steps[inverse == 0] = 0",
        "steps[inverse < 0] = 0",
        ("compressed_depth",),
    ),
    Mutant(
        "compressed image: channels always BGR",
        "interfaces/compressed_image.py",
        '"compressed bgr" not in compression:',
        "False:",
        ("compressed_image",),
    ),
    Mutant(
        "compressed image: the end is not looked at",
        "interfaces/compressed_image.py",
        'if not buffer.tobytes().rstrip(b"\\0").endswith(end):',
        "if False:",
        ("compressed_image",),
    ),
    Mutant(
        "compressed image: the camera's orientation obeyed",
        "interfaces/compressed_image.py",
        "cv2.IMREAD_UNCHANGED",
        "cv2.IMREAD_COLOR",
        ("compressed_image",),
    ),
    Mutant(
        "KITTI: LiDAR's factor",
        "datasets/kitti_raw.py",
        "read_depth(depth_file, 256.0,",
        "read_depth(depth_file, 255.0,",
        ("kitti",),
    ),
    Mutant(
        "KITTI raw: direction of the pose",
        "datasets/kitti_raw.py",
        "pose = self._world_from_mercator @ pose",
        "pose = np.linalg.inv(self._world_from_mercator @ pose)",
        ("kitti",),
    ),
    Mutant(
        "KITTI raw: camera's offset from the IMU",
        "datasets/kitti_raw.py",
        "return camera_offset(self._p2) @ rectify",
        "return np.linalg.inv(camera_offset(self._p2)) @ rectify",
        ("kitti",),
    ),
    Mutant(
        "KITTI tracklets: a pose is that of the bottom",
        "datasets/kitti_tracklets.py",
        "z + self.size[2] / 2",
        "z",
        ("kitti_tracklets",),
    ),
    Mutant(
        "KITTI tracklets: speed in the world, not in the camera's frame",
        "datasets/kitti_tracklets.py",
        "place = (pose @ self._camera_from_velo @ transform)[:2, 3]",
        "place = transform[:2, 3]",
        ("kitti_tracklets",),
    ),
    Mutant(
        "synthetic boxes: speed over the second after the frame",
        "datasets/synthetic/things.py",
        "self.place(time - 0.5), self.place(time + 0.5)",
        "self.place(time - 0.05), self.place(time + 0.95)",
        ("synthetic_boxes",),
    ),
    Mutant(
        "synthetic boxes: middle of the box",
        "datasets/synthetic/things.py",
        "(self.low + self.high) / 2",
        "(self.low + self.high) * 0.49",
        ("synthetic_boxes",),
    ),
    Mutant(
        "synthetic boxes: parked cars of another block",
        "datasets/synthetic/view.py",
        "b.thing + offset",
        "b.thing",
        ("synthetic_boxes",),
    ),
    Mutant(
        "KITTI odometry: direction of camera 2's offset",
        "datasets/kitti_odometry.py",
        "world_from_camera0 @ np.linalg.inv(camera_offset(self._p2))",
        "world_from_camera0 @ camera_offset(self._p2)",
        ("kitti",),
    ),
    Mutant(
        "Virtual KITTI 2: direction of the pose",
        "datasets/vkitti2.py",
        "np.linalg.inv(camera_from_world)",
        "camera_from_world",
        ("vkitti2",),
    ),
    Mutant(
        "Virtual KITTI 2: the track of a pixel",
        "datasets/vkitti2.py",
        ".astype(np.int64) - 1",
        ".astype(np.int64)",
        ("vkitti2",),
    ),
    Mutant(
        "Virtual KITTI 2: flow's unit",
        "datasets/vkitti2_images.py",
        "np.array(size) - 1",
        "np.array(size)",
        ("vkitti2",),
    ),
    Mutant(
        "Virtual KITTI 2: sense of yaw",
        "datasets/vkitti2_tracks.py",
        "[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]",
        "[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]",
        ("vkitti2",),
    ),
    Mutant(
        "Virtual KITTI 2: a box stands on its place",
        "datasets/vkitti2_tracks.py",
        "-height / 2",
        "height / 2",
        ("vkitti2",),
    ),
    Mutant(
        "Cityscapes: disparity's offset",
        "datasets/cityscapes.py",
        " - np.float32(1 / 256)",
        "",
        ("cityscapes",),
    ),
    Mutant(
        "Cityscapes: mounting",
        "datasets/cityscapes.py",
        "camera_from_vehicle @ pose @ vehicle_from_camera",
        "vehicle_from_camera @ pose @ camera_from_vehicle",
        ("cityscapes",),
    ),
    Mutant(
        "Cityscapes: order of the angles",
        "datasets/cityscapes_json.py",
        "rz @ ry @ rx",
        "rx @ ry @ rz",
        ("cityscapes",),
    ),
    Mutant(
        "TUM RGB-D: rotation transposed",
        "datasets/stamped_poses.py",
        "2 * (x * y - z * w), 2 * (x * z + y * w)",
        "2 * (x * y + z * w), 2 * (x * z - y * w)",
        ("tum_rgbd",),
    ),
    Mutant(
        "TUM RGB-D: the longer way round",
        "datasets/stamped_poses.py",
        "if cosine < 0:",
        "if cosine > 0:",
        ("tum_rgbd",),
    ),
    Mutant(
        "TUM RGB-D: nearest in time",
        "datasets/tum_rgbd.py",
        "(after - 1, after)",
        "(after,)",
        ("tum_rgbd",),
    ),
    Mutant(
        "box: rotation transposed",
        "datasets/boxes.py",
        "(points - centre) @ rotation)",
        "(points - centre) @ rotation.T)",
        ("boxes",),
    ),
    Mutant(
        "box: half a size",
        "datasets/boxes.py",
        "np.array(self.size) / 2",
        "np.array(self.size)",
        ("boxes",),
    ),
    Mutant(
        "box: corners transposed",
        "datasets/boxes.py",
        "rotation @ local + centre",
        "rotation.T @ local + centre",
        ("boxes",),
    ),
    # Bags.
    bags("bag: the camera_info before", "calibration", "bisect_right(", "bisect_left("),
    bags("bag: a stamp that stands still", "images", "stamp > kept[-1][0]", "stamp >= kept[-1][0]"),
    bags("bag: order of a JPEG's channels", "images", "if not _is_rgb(", "if _is_rgb("),
    bags("bag: nearest message before only", "truth", "at - 1) : at + 1]", "at - 1) : at]"),
    bags("bag: half a frame", "truth", "int(0.5e9 /", "int(1e9 /"),
    bags("bag: a chunk's place", "mcap_records", "+ 28 + 4 + len", "+ 28 + 5 + len"),
    bags(
        "bag: half a page",
        "sqlite_file",
        "whole[:-1] if self._half_a_page else whole",
        "whole",
        "rosbag_damage",
    ),
    bags(
        "bag: an image without its end",
        "images",
        "        if compressed:\n",
        "        if False:\n",
        "rosbag_damage",
    ),
    bags("bag: Jazzy's types only", "messages", "    return own", "    return known", "rosbag_ros"),
    bags(
        "bag: a log left behind",
        "sqlite_file",
        "        if self._logged():",
        "        if False:",
        "rosbag_ros",
    ),
    Mutant(
        "quaternion: sign",
        "interfaces/pose.py",
        "(-1.0 if q[3] < 0 else 1.0)",
        "(-1.0 if q[3] > 0 else 1.0)",
        ("outputs", "rosbag"),
    ),
    Mutant(
        "rotation: transposed",
        "interfaces/pose.py",
        "2 * (x * y - z * w), 2 * (x * z + y * w)]",
        "2 * (x * y + z * w), 2 * (x * z - y * w)]",
        ("rosbag",),
    ),
    # The evaluation.
    evaluation(
        "figures: relative to the answer",
        "depth_errors",
        "np.abs(difference) / truth,",
        "np.abs(difference) / depth,",
        "depth_errors",
    ),
    evaluation(
        "figures: rmse of log without its square",
        "depth_errors",
        "log**2, log\n",
        "abs(log), log\n",
        "depth_errors",
    ),
    evaluation(
        "figures: silog without the mean",
        "depth_errors",
        "mean[3] - mean[4] ** 2",
        "mean[3]",
        "depth_errors",
    ),
    evaluation(
        "figures: a factor of 1.25 is within it",
        "depth_errors",
        "factor < 1.25**power",
        "factor <= 1.25**power",
        "depth_errors",
    ),
    evaluation(
        "figures: one side of the factor",
        "depth_errors",
        "np.maximum(ratio, truth / depth)",
        "ratio",
        "depth_errors",
    ),
    evaluation(
        "scale: mean instead of median",
        "depth_errors",
        "float(np.median(truth) / np.median(depth))",
        "float(np.mean(truth) / np.mean(depth))",
        "depth_errors",
    ),
    evaluation(
        "scale: upside down",
        "depth_errors",
        "float(np.median(truth) / np.median(depth))",
        "float(np.median(depth) / np.median(truth))",
        "depth_errors",
    ),
    evaluation(
        "crop: rows and columns exchanged",
        "depth_errors",
        "top, bottom, left, right = _GARG",
        "left, right, top, bottom = _GARG",
        "depth_errors",
    ),
    evaluation(
        "no answer: left to shine",
        "depth_errors",
        "np.where(answered, np.maximum(depth, NEAREST), self.cap)",
        "np.where(answered, np.maximum(depth, NEAREST), 15.0)",
        "depth_errors",
    ),
    evaluation(
        "spread: of the mean",
        "depth_tally",
        "median = float(np.median(scales))",
        "median = float(np.mean(scales))",
        "depth_errors",
    ),
    evaluation(
        "groups: scaled by their own factor",
        "depth_tally",
        "terms(values, truth))",
        "terms(values, truth) * np.where(values > 15, 1.1, 1.0))",
        "depth_groups",
    ),
    evaluation(
        "range: its end belongs to it",
        "depth_tally",
        "(truth >= low) & (truth < high)",
        "(truth > low) & (truth <= high)",
        "depth_groups",
    ),
    evaluation(
        "motion: rows and columns exchanged",
        "depth_tally",
        "((columns - camera.cx) * z / camera.fx, (rows - camera.cy) * z / camera.fy, z), -1",
        "((rows - camera.cx) * z / camera.fx, (columns - camera.cy) * z / camera.fy, z), -1",
        "depth_groups",
    ),
    evaluation(
        "motion: parked wins over moving",
        "depth_tally",
        "key=lambda b: motion_of(b) == MOVING",
        "key=lambda b: motion_of(b) != MOVING",
        "depth_groups",
    ),
    evaluation(
        "motion: lifted the wrong way",
        "depth_tally",
        "lift[2, 3] = _MARGIN_M",
        "lift[2, 3] = -_MARGIN_M",
        "depth_groups",
    ),
    evaluation(
        "flicker: inverse motion",
        "evaluate",
        "relative(before.world_from_camera, truth.world_from_camera)",
        "relative(truth.world_from_camera, before.world_from_camera)",
        "flicker",
    ),
    evaluation(
        "flicker: rotation transposed",
        "flicker",
        "T_second_from_first[:3, :3] @ np",
        "T_second_from_first[:3, :3].T @ np",
        "flicker",
    ),
    evaluation(
        "flicker: scaled by each image too",
        "evaluate",
        "without_movers(answer.depth, truth, camera)",
        "without_movers(answer.depth * np.float32(scale), truth, camera)",
        "flicker",
    ),
    evaluation(
        "flicker: the later frame's movers stay",
        "evaluate",
        "        self.flicker.add(\n            before.depth,\n            depth,",
        "        self.flicker.add(\n            before.depth,\n            answer.depth,",
        "flicker",
    ),
    evaluation(
        "flicker: mean for median",
        "flicker",
        "float(np.median(clipped))",
        "float(np.mean(clipped))",
        "flicker",
    ),
    evaluation(
        "flicker: frames between",
        "evaluate",
        "before.index != index - 1",
        "before.index > index - 1",
        "flicker",
    ),
    evaluation(
        "pose: frames of a pair exchanged",
        "evaluate",
        "relative(first, world_from_camera), index - before",
        "relative(world_from_camera, first), index - before",
        "odometry_figures",
    ),
    evaluation(
        "pose: rotation not transposed",
        "odometry",
        "estimated[:3, :3] @ true[:3, :3].T",
        "estimated[:3, :3] @ true[:3, :3]",
        "odometry_figures",
    ),
    evaluation(
        "pose: segments seen from their end",
        "odometry",
        "true = relative(self._true[j], self._true[i])\n"
        "                estimated = relative(self._estimated[j], self._estimated[i])",
        "true = relative(self._true[i], self._true[j])\n"
        "                estimated = relative(self._estimated[i], self._estimated[j])",
        "odometry_figures",
    ),
    evaluation(
        "pose: scale multiplied",
        "odometry",
        "1 / factor if factor else 1.0",
        "factor",
        "odometry_figures",
    ),
    evaluation(
        "pose: drift's sign",
        "odometry",
        "np.polyfit(travelled, np.log(ratio), 1)[0]",
        "-np.polyfit(travelled, np.log(ratio), 1)[0]",
        "odometry_figures",
    ),
    evaluation(
        "pose: drift linear",
        "odometry",
        "100 * np.expm1(100 * slope)",
        "100 * 100 * slope",
        "odometry_figures",
    ),
    evaluation(
        "gate by track: undecided is moving",
        "gate",
        "+ 0.5 * counts[Motion.UNDECIDED]",
        "+ counts[Motion.UNDECIDED]",
        "gate_tally",
    ),
    evaluation(
        "gate by track: ties are won",
        "gate",
        "0.5 * (difference == 0)",
        "1.0 * (difference == 0)",
        "gate_tally",
    ),
    evaluation(
        "gate by track: frames weigh",
        "gate",
        "np.mean([np.mean(m.moving) for m in movers])",
        "np.mean(np.concatenate([m.moving for m in movers]))",
        "gate_tally",
    ),
    evaluation(
        "gate by track: farther things hide nearer ones",
        "gate",
        "key=lambda b: float(b.T_camera_from_box[2, 3])",
        "key=lambda b: -float(b.T_camera_from_box[2, 3])",
        "gate_tally",
    ),
    evaluation(
        "gate by track: one track for both states",
        "gate",
        "self._tracks[box.track, state]",
        "self._tracks[box.track, MOVING]",
        "gate_tally",
    ),
    evaluation(
        "gate by track: time from the epoch in floats",
        "gate",
        "(stamp_ns - track.stamps_ns[0]) / 1e9",
        "stamp_ns / 1e9 - track.stamps_ns[0] / 1e9",
        "gate_tally",
    ),
    evaluation(
        "gate by track: resampled by frames' number",
        "gate",
        "[tracks[i] for i in rng.integers(len(tracks), size=len(tracks))]",
        "[tracks[i] for i in rng.integers(len(tracks), size=4 * len(tracks))]",
        "gate_tally",
    ),
    evaluation(
        "baselines: horizon at the image's middle",
        "baselines",
        "below = (np.arange(camera.height) - camera.cy) / camera.fy",
        "below = (np.arange(camera.height) - camera.height / 2) / camera.fy",
        "baselines",
    ),
    evaluation(
        "baselines: row mean by row",
        "baselines",
        "key = round((row - camera.cy) / camera.fy, _DECIMALS)",
        "key = round((row - 15) / 50, _DECIMALS)",
        "baselines",
    ),
    evaluation(
        "baselines: mean of depth, not of its log",
        "baselines",
        "rows = np.exp(np.interp(slopes, self._slopes, self._logs))",
        "rows = np.interp(slopes, self._slopes, np.exp(self._logs))",
        "baselines",
    ),
    evaluation(
        "baselines: fitted with the distortion",
        "baselines",
        "truth = rectify_nearest(truth, camera, np.nan)",
        "truth = truth.copy()",
        "baselines",
    ),
    evaluation(
        "run folder: frames by the alphabet",
        "run_folder",
        '[file.stem for file in list_images(folder / "depth")]',
        'sorted(file.stem for file in list_images(folder / "depth"))',
        "run_folder",
    ),
    evaluation(
        "splits: test weights judged on test",
        "splits",
        "if listed is None or not judges_test or test.isdisjoint(listed):",
        "if listed is None or not judges_test or not set(hashes) & set(listed):",
        "splits",
    ),
    evaluation(
        "splits: refused on any split",
        "splits",
        "if listed is None or not judges_test or test.isdisjoint(listed):",
        "if listed is None or test.isdisjoint(listed):",
        "splits",
    ),
    method(
        "rectified maps: to a 32nd of a pixel",
        "viewport",
        "None, cv2.CV_32FC1",
        "None, cv2.CV_16SC2",
    ),
    # Training.
    training("box filter: adjoint", "fused", "if adjoint else", "if not adjoint else", "loss"),
    training(
        "photometric gradient: sign",
        "fused",
        ".sub_((s / d1).mul_(my))",
        ".add_((s / d1).mul_(my))",
        "loss",
    ),
    training(
        "photometric gradient: alpha", "fused", "g, value=1 - ctx.alpha", "g, value=1.0", "loss"
    ),
    training("frame's mask ignored", "objective", "seen & ~masked[:, :, :1]", "seen", "loss"),
    training(
        "neighbour's mask is the frame's",
        "objective",
        "masked[:, :, 1].flat",
        "masked[:, :, 0].flat",
        "loss",
    ),
    training("no auto-mask", "objective", "found & (still[:, None] > error)", "found", "loss"),
    training("windows not whole", "objective", "valid = _whole_windows(valid)", "pass", "loss"),
    training("coarse scale as heavy", "objective", "(1.0, 0.5)", "(1.0, 1.0)", "loss"),
    training(
        "scale held where recorded", "objective", "unknown = ~torch", "unknown = torch", "loss"
    ),
    training(
        "network's motion not mirrored",
        "objective",
        "turned = batch.mirror[:, None] @ predicted.motions @ batch.mirror[:, None]",
        "turned = predicted.motions",
        "loss",
    ),
    training("zoom: half a pixel", "views", "(k[0, 2] + 0.5) * sx - 0.5", "k[0, 2] * sx", "data"),
    training(
        "flip: one pixel", "views", "self.width - 1 - k[0, 2]", "self.width - k[0, 2]", "data"
    ),
    training(
        "turning is parallax",
        "pairs",
        "matches.second - seen[:, :2] / seen[:, 2:]",
        "matches.second - matches.first",
        "data",
    ),
    training("pairs across cuts", "pairs", "_LEAST_FOUND = 0.15", "_LEAST_FOUND = 0.0", "data"),
    training("pairs across gaps", "pairs", "0 < apart <= longest_gap", "0 < apart", "data"),
    training("pairs at rest", "pairs", "LEAST = LEAST_MOTION / 2", "LEAST = 0", "data"),
    training("every step alike", "batches", "(self._seed, step))", "(self._seed, 0))", "data"),
    training(
        "every process alike",
        "batches",
        "range(rank * share, (rank + 1) * share)",
        "range(share)",
        "data",
    ),
    training("gate not heard", "batches", "masked &= lesson", "masked |= lesson", "data"),
    training("undecided is compared", "gating", "is not Motion.STILL", "is Motion.MOVING", "data"),
    training(
        "earlier neighbour's motion", "learner", "inverse(from_before)", "from_before", "parts"
    ),
    training("road: no robust weights", "flatness", "_ROUNDS = 8", "_ROUNDS = 1", "parts"),
    training("rate: no warm-up", "optimiser", "(step + 1) / rise", "1.0", "parts"),
    training(
        "metres without a witness",
        "train",
        "start.metric and config.loss.scale > 0",
        "start.metric",
        "parts",
    ),
    training(
        "checkpoints unpickled", "checkpoint", "weights_only=True", "weights_only=False", "run"
    ),
    training(
        "gradient not checked", "trainer", "if not torch.isfinite(gradient):", "if False:", "run"
    ),
    training(
        "optimizer forgotten",
        "trainer",
        'self._optimizer.load_state_dict(state["optimizer"])',
        "pass",
        "run",
    ),
    training(
        "counts of one process",
        "trainer",
        "if self._fabric.world_size == 1:\n            return values",
        "if True:\n            return values",
        "run",
    ),
    Mutant(
        "weights: header in any order",
        "networks/weights.py",
        "sort_keys=True, ",
        "",
        ("weights",),
    ),
)


def run_tests(copy: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails in a copy; None when all pass."""
    files = [f"test/test_{name}.py" for name in tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # The copy lies elsewhere: real data beside the repository is still found.
    environment.setdefault("DEPTH_RECOG_DATA", str(ROOT.parent / "shared" / "data"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", *files]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) test/(\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        raise SystemExit(f"pytest itself failed:\n{done.stdout}{done.stderr}")
    return found[1]


def try_mutant(mutant: Mutant, copy: Path) -> str | None:
    """Mutate the copy, run the tests, and put it right again."""
    path = copy / "depth_recog" / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times")
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return run_tests(copy, mutant.tests)
    finally:
        path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="?", default="", help="only mutants whose names or files contain this"
    )
    only = parser.parse_args().names
    chosen = [m for m in MUTANTS if only in m.name or only in m.file]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(
            ROOT / "depth_recog", copy / "depth_recog", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(ROOT / "test", copy / "test", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for name in sorted({t for m in chosen for t in m.tests}):
            failed = run_tests(copy, (name,))
            if failed:
                raise SystemExit(f"{failed} fails without any mutation")
        print("| mutant | file | caught by |\n|---|---|---|")
        began = time.monotonic()
        for mutant in chosen:
            caught = try_mutant(mutant, copy)
            survivors += caught is None
            by = "**SURVIVED**" if caught is None else f"`{caught}`"
            print(f"| {mutant.name} | {mutant.file} | {by} |", flush=True)
    seconds = time.monotonic() - began
    print(f"\n{len(chosen)} mutants, {survivors} survived, {seconds:.0f} s", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
