# SPDX-License-Identifier: Apache-2.0
"""Mutants of bags."""

from mutations.kinds import bags

MUTANTS = (
    bags("bag: the camera_info before", "calibration", "bisect_right(", "bisect_left("),
    bags("bag: a stamp that stands still", "images", "stamp > kept[-1][0]", "stamp >= kept[-1][0]"),
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
        'how = "" if self._logged() else "?immutable=1"',
        'how = "?immutable=1"',
        "rosbag_ros",
    ),
)
