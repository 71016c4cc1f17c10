# SPDX-License-Identifier: Apache-2.0
"""Every limit on what comes in, in one place: what is larger is refused before memory is taken.

docs/reference/limits.md is written from this file by docs/generate.py: each value with the text
below it.
"""

from __future__ import annotations

MIB = 2**20

IMAGE_PIXELS = 50_000_000
"""pixels of an image, a frame of a video or a calibration; 8K has 33 million"""
IMAGE_FILE_BYTES = 256 * MIB
"""bytes of an image file"""
JPEG_SCANS = 100
"""scans of a JPEG; a progressive one has about 10"""
TEXT_BYTES = 32 * MIB
"""bytes of a text file: time stamps, poses, tables, tracklets, file lists after decompression"""
LINES = 1_000_000
"""lines of a text file"""
LINE_CHARACTERS = 10_000
"""characters of a line of numbers"""
DOCUMENT_BYTES = MIB
"""bytes of a YAML file, a card or a camera calibration"""
JSON_BYTES = 16 * MIB
"""bytes of a JSON file"""
DEPTH = 32
"""levels of nesting in YAML and JSON; YAML may have no aliases"""
VALUES = 100_000
"""values in a YAML document"""
DIGITS = 40
"""digits of a whole number in YAML, JSON or a time stamp"""
SHOWN = 120
"""characters of a foreign value in a message"""
MESSAGE_CHARACTERS = 4000
"""characters of an error message"""
BAG_MESSAGE_BYTES = 256 * MIB
"""bytes of an image message of a bag after decompression"""
BAG_SMALL_MESSAGE_BYTES = 16 * MIB
"""bytes of any other message that is read from a bag"""
BAG_CHUNK_BYTES = 256 * MIB
"""bytes of a chunk of a bag after decompression"""
BAG_SUMMARY_BYTES = 64 * MIB
"""bytes of the summary of an mcap file; one with a larger summary is read record by record"""
BAG_CHANNELS = 2000
"""topics and channels of a bag"""
BAG_MESSAGES = 2_000_000
"""messages of a topic"""
UNPACKED_FREE = 256 * MIB
"""bytes into which a compressed file may unpack, whatever its size"""
UNPACKED_RATIO = 200
"""further bytes for each byte of the compressed file"""
FREE_DISK = 1024 * MIB
"""bytes that decompression leaves free on the disk"""
COEFFICIENTS = 100
"""coefficients of a lens; the models have at most 14"""
FRAME_CHARACTERS = 1024
"""characters of a frame name, an encoding or a lens model of a message"""
TRANSFORM_FRAMES = 1000
"""frames of tf that the depth node keeps"""
MARKERS = 10_000
"""markers of a MarkerArray of a bag"""
OBJECTS = 10_000
"""tracklets of a drive"""
WEIGHTS_BYTES = 256 * MIB
"""bytes of a weights file or an ONNX model"""
DIRECTORY_BYTES = 4096 * MIB
"""bytes of the safetensors of a directory of transformers"""
HEADER_BYTES = 4 * MIB
"""bytes of the header of a safetensors file"""
CHANNELS = 4096
"""channels of a layer of the own networks"""
NETWORK_SIDE = 4096
"""pixels of a side of a network's input"""
CLASSES = 255
"""classes of a segmentation model"""
NAME_CHARACTERS = 100
"""characters of the name of a class"""
ONNX_SECONDS = 20
"""seconds that an ONNX model's first inference may take, in a process of its own"""
ONNX_MEMORY = 4096 * MIB
"""bytes of memory of that process"""
LINEAGE_ENTRIES = 10_000
"""entries of the list of a lineage"""


def unpacked_most(packed: int) -> int:
    """The bytes into which a file of `packed` bytes may unpack."""
    return UNPACKED_FREE + UNPACKED_RATIO * packed
