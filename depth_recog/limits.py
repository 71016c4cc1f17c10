# SPDX-License-Identifier: Apache-2.0
"""Every limit on what comes in, in one place: what is larger is refused before memory is taken.

docs/generate.py writes docs/reference/limits.md from it: run it after a change.
"""

from __future__ import annotations

MIB = 2**20

IMAGE_PIXELS = 50_000_000
"""of an image, a frame of a video or a calibration; 8K has 33 million"""
IMAGE_FILE_BYTES = 256 * MIB
"""an image file"""
JPEG_SCANS = 100
"""a progressive JPEG has about 10"""
TEXT_BYTES = 32 * MIB
"""time stamps, poses, tables, tracklets; file lists after decompression"""
LINES = 1_000_000
"""of a text file"""
LINE_CHARACTERS = 10_000
"""of a line of a text file"""
DOCUMENT_BYTES = MIB
"""a YAML file or card"""
JSON_BYTES = 16 * MIB
"""a JSON file"""
DEPTH = 32
"""levels of nesting in YAML and JSON"""
VALUES = 100_000
"""in a YAML document, which may have no aliases"""
DIGITS = 40
"""of a whole number in YAML or JSON, or of a time"""
SHOWN = 120
"""characters of a foreign value in a message"""
MESSAGE_CHARACTERS = 4000
"""characters of an error message"""
BAG_MESSAGE_BYTES = 256 * MIB
"""an image in a bag, unpacked"""
BAG_SMALL_MESSAGE_BYTES = 16 * MIB
"""another message in a bag"""
BAG_CHUNK_BYTES = 256 * MIB
"""a chunk, unpacked"""
BAG_SUMMARY_BYTES = 64 * MIB
"""of an mcap file; with a larger one, every record is read"""
BAG_CHANNELS = 2000
"""topics of a bag"""
BAG_MESSAGES = 2_000_000
"""messages of a topic"""
UNPACKED_FREE = 256 * MIB
"""bytes into which a compressed file may unpack, whatever its size"""
UNPACKED_RATIO = 200
"""further bytes for each of its own"""
FREE_DISK = 1024 * MIB
"""bytes that decompression leaves free on the disk, or half of those that are free"""
COEFFICIENTS = 100
"""coefficients of a lens"""
FRAME_CHARACTERS = 1024
"""characters of a frame name, an encoding or a lens model of a message"""
TRANSFORM_FRAMES = 1000
"""frames of tf that the depth node keeps"""
FARTHEST_M = 1e9
"""a coordinate of odometry or tf, metres"""
FASTEST_M_S = 150.0
"""a robot, metres per second; odometry that moves faster has jumped"""
MARKERS = 10_000
"""markers of a MarkerArray"""
OBJECTS = 10_000
"""tracklets"""
WEIGHTS_BYTES = 256 * MIB
"""weights, an ONNX model"""
DIRECTORY_BYTES = 4096 * MIB
"""a directory of transformers"""
HEADER_BYTES = 4 * MIB
"""the header of safetensors"""
CHANNELS = 4096
"""channels of a layer"""
NETWORK_SIDE = 4096
"""pixels of a network's side"""
CLASSES = 255
"""classes"""
NAME_CHARACTERS = 100
"""characters of a class name"""
ONNX_SECONDS = 20
"""an ONNX model's inference, seconds"""
ONNX_MEMORY = 4096 * MIB
"""memory of the first one, in its own process"""
LINEAGE_ENTRIES = 10_000
"""entries of a lineage"""


def unpacked_most(packed: int) -> int:
    """The bytes into which a file of `packed` bytes may unpack."""
    return UNPACKED_FREE + UNPACKED_RATIO * packed
