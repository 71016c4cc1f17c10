# SPDX-License-Identifier: Apache-2.0
"""Breaks the method in one place at a time and asks whether the tests notice.

Every mutation is one string replaced by another in a copy of the package; the working tree is not
touched. Run from the repository's root:

    python benchmarks/mutants.py              # all of them, as a Markdown table
    python benchmarks/mutants.py "hat: sign"  # those whose names contain a text
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
        "pose = self._world_from_mercator @ self._mercator_from_camera(oxts_file)",
        "pose = np.linalg.inv(self._world_from_mercator @ self._mercator_from_camera(oxts_file))",
        ("kitti",),
    ),
    Mutant(
        "KITTI raw: camera's offset from the IMU",
        "datasets/kitti_raw.py",
        "np.linalg.inv(offset @ rectify @ camera_from_velo @ velo_from_imu)",
        "np.linalg.inv(np.linalg.inv(offset) @ rectify @ camera_from_velo @ velo_from_imu)",
        ("kitti",),
    ),
    Mutant(
        "KITTI odometry: direction of camera 2's offset",
        "datasets/kitti_odometry.py",
        "world_from_camera0 @ np.linalg.inv(camera_offset(self._p2))",
        "world_from_camera0 @ camera_offset(self._p2)",
        ("kitti",),
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
        "names", nargs="?", default="", help="only mutants whose names contain this"
    )
    only = parser.parse_args().names
    chosen = [m for m in MUTANTS if only in m.name]
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
