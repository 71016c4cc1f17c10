# SPDX-License-Identifier: Apache-2.0
"""Frame names that are empty, disagree, or change."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="headers are ROS messages")

from std_msgs.msg import Header

from depth_recog.nodes.io.frames import Frames


class Log:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def warning(self, text: str) -> None:
        self.texts.append(text)


CASES: dict[str, tuple[list[tuple[str, str | None]], list[bool], list[str]]] = {
    "one camera": ([("cam", "cam")] * 3, [False] * 3, []),
    "no camera_info": ([("cam", None)] * 2, [False] * 2, []),
    "empty": ([("", "")] * 3, [False] * 3, ["have no frame_id"]),
    "both differ": ([("cam", "lens")] * 3, [False] * 3, ["'cam', their camera_info's is 'lens'"]),
    "info is empty": ([("cam", "")] * 2, [False] * 2, ["their camera_info's is ''"]),
    "a change": ([("a", "a"), ("a", "a"), ("b", "b")], [False, False, True], ["'a' to 'b'"]),
    "two on one topic": (
        [("a", "a"), ("b", "b")] * 3,
        [False] + [True] * 5,
        ["'a' to 'b'", "'b' to 'a'"],
    ),
    "named late": ([("", ""), ("a", "a")], [False, True], ["have no frame_id", "'' to 'a'"]),
    "slash": ([("/a", "a")] * 2, [False] * 2, ["'/a', their camera_info's is 'a'"]),
}


@pytest.mark.parametrize("case", CASES)
def test_changes_are_noticed_and_doubtful_names_are_warned_of_once(case: str) -> None:
    headers, changes, words = CASES[case]
    log = Log()
    frames = Frames(log)
    for (image, info), changed in zip(headers, changes, strict=True):
        header = None if info is None else Header(frame_id=info)
        assert frames.changed(Header(frame_id=image), header) == changed
    assert len(log.texts) == len(words), log.texts
    for text, word in zip(log.texts, words, strict=True):
        assert word in text
