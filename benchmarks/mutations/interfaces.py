# SPDX-License-Identifier: Apache-2.0
"""Mutants of messages."""

from mutations.kinds import Mutant

MUTANTS = (
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
    Mutant(
        "compressed image: order of the channels",
        "interfaces/compressed_image.py",
        'compression and "compressed bgr" not in compression',
        'compression and "compressed bgr" in compression',
        ("compressed_image",),
    ),
)
