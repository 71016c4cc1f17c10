# SPDX-License-Identifier: Apache-2.0
"""What counts as a damaged image, and that it costs itself only: in folders, bags and cameras."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import bags
import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml
from commands import command
from kitti_files import write_drive

from depth_recog.adaptation.sources import live_frames
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.image_files import read_rgb
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.media.v4l2 import V4l2
from depth_recog.datasets.reader import numbered, readable
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, EncodingError, SourceError
from depth_recog.evaluation.subject import open_recording
from depth_recog.interfaces.compressed_image import to_rgb
from depth_recog.interfaces.encoded_image import is_cut_off
from depth_recog.training.data.cache import SourceFrames, first_frame, prepare

DRIVE = bags.Drive(6)
BGR = np.ascontiguousarray(DRIVE[0].image[..., ::-1])
JPEG = cv2.imencode(".jpg", BGR)[1].tobytes()
PROGRESSIVE = cv2.imencode(".jpg", BGR, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
RESTARTS = cv2.imencode(".jpg", BGR, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
PNG = cv2.imencode(".png", BGR)[1].tobytes()
MOVIE = b"\0\0\0\x18ftypmp42" + b"\xff\xda" + bytes(50) + b"\xff\xd8\xff\xe1"


def segment(code: int, content: bytes) -> bytes:
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


def inserted(data: bytes, extra: bytes) -> bytes:
    return data[:2] + extra + data[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


WHOLE = {
    "padded": JPEG + bytes(96),
    "a line end": JPEG + b"\r\n",
    "leftovers": JPEG + bytes(range(1, 97)),
    "a motion photo": JPEG + MOVIE,
    "the buffer of the image before": JPEG + JPEG[len(JPEG) // 2 :],
    "the beginning of the next image": JPEG + PROGRESSIVE[: len(PROGRESSIVE) // 2],
    "progressive, leftovers": PROGRESSIVE + MOVIE,
    "restart markers, leftovers": RESTARTS + MOVIE,
    "a thumbnail": inserted(JPEG, segment(0xE1, JPEG)),
    "a cut-off thumbnail": inserted(JPEG, segment(0xE1, JPEG[:-2])),
    "fill bytes before markers": inserted(JPEG, b"\xff\xff\xff" + segment(0xFE, b"\xff\xd9")),
    "png, leftovers": PNG + b"leftovers",
    "png, another behind": PNG + PNG[:100],
    "png with IEND in a text": PNG[:33] + chunk(b"tEXt", b"a\0IEND\xaeB`\x82") + PNG[33:],
}
CUT_OFF = {
    "no end mark": JPEG[:-2],
    "half an end mark": JPEG[:-1],
    "half": JPEG[: len(JPEG) // 2],
    "half, padded": JPEG[: len(JPEG) // 2] + bytes(96),
    "the start only": JPEG[:2],
    "progressive": PROGRESSIVE[:-40],
    "restart markers": RESTARTS[:-40],
    "within a segment": JPEG[:15],
    "after a thumbnail": inserted(JPEG, segment(0xE1, JPEG))[:-2],
    "within a thumbnail": inserted(JPEG, segment(0xE1, JPEG))[: len(JPEG) + 4],
    "png without IEND": PNG[:-12],
    "png within IEND": PNG[:-1],
    "png, IEND only in a text": (PNG[:33] + chunk(b"tEXt", b"a\0IEND\xaeB`\x82") + PNG[33:])[:-12],
}


def suffix_of(data: bytes) -> str:
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"


@pytest.mark.parametrize("case", WHOLE)
def test_what_follows_the_end_is_not_the_images(case: str, tmp_path: Path) -> None:
    """The same pixels as without it, through every door."""
    data = WHOLE[case]
    file = tmp_path / f"a{suffix_of(data)}"
    file.write_bytes(data)
    exact = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.abs(exact.astype(int) - DRIVE[0].image).mean() < 8
    np.testing.assert_array_equal(read_rgb(file), exact)
    np.testing.assert_array_equal(to_rgb(suffix_of(data)[1:], data), exact)
    np.testing.assert_array_equal(Rosbag(packed(tmp_path / "bag", [data]))[0].image, exact)


@pytest.mark.parametrize("case", CUT_OFF)
def test_a_missing_end_is_noticed(case: str, tmp_path: Path) -> None:
    data = CUT_OFF[case]
    assert is_cut_off(data)
    file = tmp_path / f"a{suffix_of(data)}"
    file.write_bytes(data)
    with pytest.raises(SourceError, match="cut off"):
        read_rgb(file)
    with pytest.raises(EncodingError, match="truncated"):
        to_rgb("jpeg", data)
    bag = packed(tmp_path / "bag", [JPEG, data, JPEG])
    assert [frame.stamp_ns for frame in Rosbag(bag)] == [DRIVE[i].stamp_ns for i in (0, 2)]


def packed(path: Path, files: list[bytes], storage: str = "mcap") -> Path:
    """A bag of compressed images."""
    messages: bags.Messages = []
    for data, frame in zip(files, bags.Drive(len(files)), strict=True):
        messages.append(("/c/camera_info", frame.stamp_ns, bags.info(frame.stamp_ns)))
        message = bags.compressed(frame.stamp_ns, data, suffix_of(data)[1:])
        messages.append(("/c/image/compressed", frame.stamp_ns, message))
    return bags.write(path, messages, storage)


# A damaged frame costs itself

DAMAGED = {
    # Its ends are those of a whole image.
    "within": JPEG[:2] + bytes(200) + JPEG[-2:],
    "a size that no memory holds": bytes.fromhex(
        "89504e470d0a1a0a0000000d494844527fffffff7fffffff08020000009dc2f1a00000000049454e44ae426082"
    ),
    "an error page": b"<html>404 Not Found</html>",
}


def clip(path: Path, files: list[bytes]) -> Path:
    path.mkdir()
    write_camera_yaml(path / "camera.yaml", bags.CAMERA)
    for number, data in enumerate(files):
        (path / f"{number}.jpg").write_bytes(data)
    return path


@pytest.mark.parametrize("place", ["folder", "mcap", "sqlite3"])
@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_frame_is_left_out(case: str, place: str, tmp_path: Path, caplog: Any) -> None:
    files = [JPEG, JPEG, DAMAGED[case], JPEG, JPEG]
    path = tmp_path / "in"
    source = clip(path, files) if place == "folder" else packed(path, files, place)
    recording = open_source(str(source))
    assert [index for index, _ in numbered(recording)] == [0, 1, 3, 4]
    assert len(list(recording)) == 4
    assert "the frame is left out" in caplog.messages[0]
    with pytest.raises(SourceError):
        recording[2]


def test_the_first_warning_names_the_frame_the_last_counts(tmp_path: Path, caplog: Any) -> None:
    folder = Folder(clip(tmp_path / "in", [b"", JPEG, b"x", JPEG[:-2], JPEG]))
    reasons: list[Any] = []
    assert [index for index, _ in readable(folder, range(1, 5), reasons.append)] == [1, 4]
    assert len(reasons) == 2
    assert len(caplog.messages) == 2
    assert "2.jpg" in caplog.messages[0]
    assert "2 frames that cannot be read were left out" in caplog.messages[1]


def test_without_a_readable_frame_the_first_reason_is_the_error(tmp_path: Path) -> None:
    folder = Folder(clip(tmp_path / "in", [b"x", b"y"]))
    with pytest.raises(SourceError, match=r"0\.jpg"):
        list(folder)


def test_an_image_of_another_shape(tmp_path: Path, caplog: Any) -> None:
    """A stray one costs itself; if the first does not fit, the calibration does not."""
    other = cv2.imencode(".jpg", np.zeros((40, 20, 3), np.uint8))[1].tobytes()
    folder = Folder(clip(tmp_path / "stray", [JPEG, other, JPEG]))
    assert [index for index, _ in numbered(folder)] == [0, 2]
    assert "1.jpg is 20x40" in caplog.messages[0]
    with pytest.raises(CalibrationError, match=r"0\.jpg is 20x40"):
        list(Folder(clip(tmp_path / "all", [other, other])))


def test_record_with_a_damaged_frame(tmp_path: Path) -> None:
    """`record` keeps truth and image together."""
    source = bags.write(tmp_path / "drive", with_damage())
    out = tmp_path / "out"
    result = command("record", source, "--out", out)
    assert result.returncode == 0, result.stderr
    recorded = Rosbag(out)
    kept = (0, 1, 3, 4, 5)
    assert [frame.stamp_ns for frame in recorded] == [DRIVE[i].stamp_ns for i in kept]
    for index, number in enumerate(kept):
        truth = recorded.truth(index).moving
        assert truth is not None
        assert truth.sum() == number, "the truth of another frame"


def with_damage() -> bags.Messages:
    messages: bags.Messages = []
    for number, frame in enumerate(DRIVE):
        moving = np.zeros((24, 32), np.uint8)
        moving.reshape(-1)[:number] = 255
        data = DAMAGED["within"] if number == 2 else JPEG
        for topic, message in (
            ("camera_info", bags.info(frame.stamp_ns)),
            ("ground_truth/moving", bags.image(frame.stamp_ns, moving, "mono8")),
            ("image/compressed", bags.compressed(frame.stamp_ns, data)),
        ):
            messages.append((f"/c/{topic}", frame.stamp_ns, message))
    return messages


def damaged_clip(path: Path) -> Path:
    """Three images, of which the first is empty."""
    path.mkdir()
    write_camera_yaml(path / "camera.yaml", bags.CAMERA.resized(160, 120))
    for number in range(3):
        cv2.imwrite(str(path / f"{number}.jpg"), np.full((120, 160, 3), 90, np.uint8))
    (path / "0.jpg").write_bytes(b"")
    return path


def test_run_with_a_damaged_frame(tmp_path: Path) -> None:
    result = command("run", damaged_clip(tmp_path / "in"), "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["frames"] == {"in": 3, "out": 2, "dropped": 0, "rejected": 1}
    assert report["error"] is None
    assert len(list((tmp_path / "out" / "depth").iterdir())) == 2


class Device:
    """A camera whose images cannot always be decoded."""

    def __init__(self, retrieved: list[bool]) -> None:
        self._retrieved = iter(retrieved)
        self._next: bool | None = None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 0.0 if name == "get" else True

    def grab(self) -> bool:
        self._next = next(self._retrieved, None)
        return self._next is not None

    def retrieve(self) -> tuple[bool, Any]:
        return bool(self._next), BGR if self._next else None


def test_a_camera_with_a_damaged_image(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    write_camera_yaml(tmp_path / "c.yaml", bags.CAMERA)
    (tmp_path / "video0").touch()
    text = f"{tmp_path}/video0?camera={tmp_path}/c.yaml"
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Device([True, False, False, True, True]))
    frames = []
    with pytest.raises(SourceError, match=r"gives no images any more \(after 3\)"):
        frames.extend(iter(V4l2(text)))
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Device([False] * 10_000))
    with pytest.raises(SourceError, match=r"gives no images any more \(after 0\)"):
        list(V4l2(text))
    assert sum("cannot be decoded" in message for message in caplog.messages) == 2


def test_the_first_image_of_a_data_set_is_damaged(tmp_path: Path) -> None:
    """The size of the truth is then that of another image."""
    drive = write_drive(tmp_path)
    first = min((drive / "image_02" / "data").iterdir())
    first.write_bytes(b"")
    recording = open_source(str(drive))
    depths = [recording.truth(index).depth for index, _ in numbered(recording)]
    assert [depth is not None and depth.shape for depth in depths] == [(40, 64)] * 2


class Labels:
    """Annotates nothing but one label."""

    identity = ("test",)

    def annotate(self, image: Any, view: Any, labels: Any) -> dict[str, Any]:
        return {"labels": np.zeros((12, 16), np.uint8)}


def test_what_adapt_learns_from_with_a_damaged_frame(tmp_path: Path) -> None:
    source = str(damaged_clip(tmp_path / "in"))
    chosen = SourceFrames(source, source, open_recording(source), range(3))
    found = list(live_frames(chosen, (416, 128)))
    assert len(found) == 2


@pytest.mark.parametrize("arguments", [["--without-truth"], ["--placebos"]])
def test_evaluate_with_a_damaged_frame(arguments: list[str], tmp_path: Path) -> None:
    result = command("evaluate", damaged_clip(tmp_path / "in"), *arguments)
    assert "0.jpg" not in result.stderr


def test_training_data_with_a_damaged_frame(tmp_path: Path) -> None:
    source = str(clip(tmp_path / "in", [b"", JPEG, DAMAGED["within"], JPEG]))
    chosen = SourceFrames(source, source, open_recording(source), range(4))
    assert first_frame(chosen).name == "1"
    frames = prepare(chosen, (16, 12), Labels(), tmp_path / "cache", lambda: False)
    assert frames.names == ["1", "3"]
    assert frames.images.shape == (2, 12, 16, 3)
    assert frames.stamps.tolist() == [100_000_000, 300_000_000]
    assert frames.images[1].any()
