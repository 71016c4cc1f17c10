# SPDX-License-Identifier: Apache-2.0
"""Opening sources by path or kind; folders, videos, cameras and RGB-D recordings."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml
from street_files import assert_recording, write_or_remove

from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.media.v4l2 import V4l2
from depth_recog.datasets.media.video import Video
from depth_recog.datasets.research.seven_scenes import SevenScenes
from depth_recog.datasets.sequence import Recording, Sequence
from depth_recog.datasets.sources import READERS, open_source
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
BLUE = np.full((48, 64, 3), (250, 10, 20), np.uint8)  # as OpenCV stores it: B, G, R


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve JPEGs whose natural order is not the alphabetical one, and a YAML."""
    path = tmp_path / "clip"
    path.mkdir()
    for i in range(12):
        cv2.imwrite(str(path / f"frame{i}.jpg"), np.full((48, 64, 3), 20 * i, np.uint8))
    write_camera_yaml(path / "camera.yaml", CAMERA)
    return path


@pytest.fixture(params=["mp4", "avi", "mkv"])
def film(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Thirty frames at 20 Hz of increasing brightness, and a YAML."""
    path = tmp_path / f"film.{request.param}"
    code = "MJPG" if request.param == "avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 20, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {path.name} with {code}")
    for i in range(30):
        writer.write(np.full((48, 64, 3), 8 * i, np.uint8))
    writer.release()
    write_camera_yaml(path.with_suffix(".yaml"), CAMERA)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two frames in the layout of 7-Scenes; tracking is lost in the second."""
    path = tmp_path / "kitchen"
    path.mkdir()
    for i, pose in enumerate((np.eye(4), np.full((4, 4), -np.inf))):
        stem = f"{path}/frame-{i:06d}"
        cv2.imwrite(f"{stem}.color.png", BLUE)
        depth = np.full((48, 64), 1500, np.uint16)
        depth[0, :2] = (0, 65535)
        cv2.imwrite(f"{stem}.depth.png", depth)
        np.savetxt(f"{stem}.pose.txt", pose)
    (path / "camera-intrinsics.txt").write_text("60 0 32\n0 60 24\n0 0 1\n")
    return path


def brightness(sequence: Recording, index: int) -> int:
    """The number of a frame of `film`, from its brightness."""
    return round(float(sequence[index].image.mean()) / 8)


def test_folder_in_natural_order(clip: Path) -> None:
    """frame9 comes before frame10; without stamps 10 Hz."""
    sequence = open_source(str(clip))
    assert_recording(sequence, "folder", "clip", 10.0, [i * 100_000_000 for i in range(12)])
    assert [frame.name for frame in sequence] == [f"frame{i}" for i in range(12)]
    assert sequence[11].camera == CAMERA
    assert sequence.truth(11).depth is None


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".JPG", ".jpeg"])
def test_folder_images_are_rgb(clip: Path, suffix: str) -> None:
    """All formats are read as contiguous uint8 RGB."""
    cv2.imwrite(str(clip / f"a{suffix}"), BLUE)
    image = Folder(clip)[0].image
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[24, 32], (20, 10, 250), atol=4)


def test_folder_grey_images_get_three_channels(clip: Path) -> None:
    """Also 16-bit PNG files."""
    cv2.imwrite(str(clip / "a.png"), np.full((48, 64), 200 * 257, np.uint16))
    assert Folder(clip)[0].image[0, 0].tolist() == [200, 200, 200]


def test_folder_with_one_sub_folder(clip: Path) -> None:
    """Images may be in a sub-folder, the YAML on either level; hidden files are ignored."""
    (clip / "left").mkdir()
    for image in clip.glob("*.jpg"):
        image.rename(clip / "left" / image.name)
    (clip / "left" / "._frame0.jpg").write_bytes(b"macOS")
    assert len(Folder(clip)) == 12
    (clip / "camera.yaml").rename(clip / "left" / "any_name.yml")
    assert len(Folder(clip)) == 12
    shutil.copytree(clip / "left", clip / "right")
    with pytest.raises(SourceError, match=r"clip has images in several.*give one of left, right"):
        Folder(clip)


def test_folder_stamps(clip: Path) -> None:
    """From timestamps.txt, or from file names in nanoseconds."""
    stamps = [1_700_000_000_000_000_000 + i * 50_000_000 for i in range(12)]
    (clip / "timestamps.txt").write_text("\n".join(map(str, stamps)))
    sequence = Folder(clip)
    assert [frame.stamp_ns for frame in sequence] == stamps
    assert sequence.rate_hz == 20.0
    (clip / "timestamps.txt").unlink()
    for i, stamp in enumerate(stamps):
        (clip / f"frame{i}.jpg").rename(clip / f"{stamp}.jpg")
    assert [frame.stamp_ns for frame in Folder(clip)] == stamps


def test_folder_scales_the_camera(clip: Path) -> None:
    """Half the size halves the focal length; the principal point is relative to pixel centres."""
    cv2.imwrite(str(clip / "frame0.jpg"), np.zeros((24, 32, 3), np.uint8))
    camera = Folder(clip)[0].camera
    assert (camera.fx, camera.cx, camera.size) == (30.0, 32.0 / 2 - 0.5, (32, 24))
    cv2.imwrite(str(clip / "frame0.jpg"), np.zeros((24, 40, 3), np.uint8))
    with pytest.raises(CalibrationError, match=r"frame0\.jpg is 40x24.*64x48.*write a calibration"):
        Folder(clip)[0]


def test_folder_calibration_errors(clip: Path) -> None:
    """No YAML, several, or a damaged one: the message gives the remedy."""
    shutil.copy(clip / "camera.yaml", clip / "right.yaml")
    with pytest.raises(CalibrationError, match=r"keep one of .*camera\.yaml, .*right\.yaml"):
        Folder(clip)
    (clip / "right.yaml").unlink()
    (clip / "camera.yaml").write_text("camera_matrix: [")
    with pytest.raises(CalibrationError, match=r"camera\.yaml is not a ROS camera_info"):
        Folder(clip)
    (clip / "camera.yaml").unlink()
    with pytest.raises(CalibrationError, match=r"write .*clip/camera\.yaml.*image_width: 640"):
        Folder(clip)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000000\n2000000\n3000000", "3 lines for 12 images: write one line"),
        ("\n".join("112345678901"), "stamp 2 .*sort or correct"),
        ("noon", "one a line is needed"),
    ],
)
def test_folder_stamp_errors(clip: Path, text: str, expected: str) -> None:
    (clip / "timestamps.txt").write_text(text)
    with pytest.raises(SourceError, match=rf"timestamps\.txt.*{expected}"):
        Folder(clip)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_cut_off_image_is_named(clip: Path, suffix: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    file = clip / f"a{suffix}"
    cv2.imwrite(str(file), noise)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SourceError, match=rf"a\{suffix} .*restore or delete"):
        Folder(clip)[0]


def test_a_jpeg_without_its_end_is_named(clip: Path) -> None:
    """Two missing bytes are detected; the end marker of a thumbnail is not the image's."""
    file = clip / "frame0.jpg"
    data = file.read_bytes()
    thumbnail = b"\xff\xe1\x00\x08\xff\xda\xff\xd9\x00\x00"
    file.write_bytes(data[:2] + thumbnail + data[2:])
    assert Folder(clip)[0].image.shape == (48, 64, 3)
    for cut in (data[:-2], data[:2] + thumbnail + data[2:-2]):
        file.write_bytes(cut)
        with pytest.raises(SourceError, match=r"frame0\.jpg .*cut off"):
            Folder(clip)[0]


def test_damaged_missing_and_ambiguous_images(clip: Path) -> None:
    """Text in a .jpg, a file that was removed after listing, two images with one stem."""
    sequence = Folder(clip)
    (clip / "frame0.jpg").write_text("hello")
    with pytest.raises(SourceError, match=r"frame0\.jpg \(5 bytes\) is no image.*delete it"):
        sequence[0]
    (clip / "frame1.jpg").unlink()
    with pytest.raises(SourceError, match=r"frame1\.jpg cannot be read.*restore it"):
        sequence[1]
    shutil.copy(clip / "frame2.jpg", clip / "frame2.png")
    with pytest.raises(SourceError, match=r"frame2\.(jpg|png) and frame2\.(jpg|png): keep one"):
        Folder(clip)


def test_video_in_order_and_by_seeking(film: Path) -> None:
    """Iteration and indexing give the same frames; stamps are the container's."""
    sequence = open_source(str(film))
    assert_recording(sequence, "video", "film", 20.0, [i * 50_000_000 for i in range(30)])
    frames = list(sequence)
    assert [frame.name for frame in frames] == [f"{i:010d}" for i in range(30)]
    assert frames[0].camera == CAMERA
    for index in (20, 3, 4, 29, 0, 13):
        assert brightness(sequence, index) == index
        assert sequence[index].stamp_ns == frames[index].stamp_ns
    assert brightness(sequence, -1) == 29
    assert sequence.truth(29).depth is None


def test_video_iterators_do_not_disturb_each_other(film: Path) -> None:
    """Two iterators over one video, and an access by index in between."""
    sequence = Video(film)
    pairs = list(zip(sequence, sequence, strict=True))
    assert all(np.array_equal(a.image, b.image) for a, b in pairs)
    assert len(pairs) == 30


def test_video_without_times(film: Path, monkeypatch) -> None:
    """A container that reports no times gets index / fps."""
    real = cv2.VideoCapture

    class Timeless:
        def __init__(self, *arguments: Any) -> None:
            self.capture = real(*arguments)

        def get(self, prop: int) -> float:
            return 0.0 if prop == cv2.CAP_PROP_POS_MSEC else self.capture.get(prop)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Timeless)
    assert [frame.stamp_ns for frame in Video(film)] == [i * 50_000_000 for i in range(30)]


def test_video_in_another_process_and_of_unknown_length(film: Path) -> None:
    sequence = Video(film)
    assert len(pickle.loads(pickle.dumps(sequence))) == 30
    sequence._stated = 0
    assert len(sequence) == 30


def test_video_calibration(film: Path) -> None:
    """The video's YAML, else camera.yaml, else an error with the remedy."""
    film.with_suffix(".yaml").rename(film.parent / "camera.yaml")
    assert Video(film)[0].camera == CAMERA
    write_camera_yaml(film.parent / "camera.yaml", Camera(64, 64, 60.0, 60.0, 31.5, 31.5))
    with pytest.raises(CalibrationError, match=rf"{film.name} is 64x48.*write a calibration"):
        Video(film)[0]
    (film.parent / "camera.yaml").unlink()
    with pytest.raises(CalibrationError, match=r"write .*film\.yaml.*image_width: 640"):
        Video(film)


def test_damaged_videos(film: Path) -> None:
    """A file that is no video, a missing file, and a video shorter than its stated length."""
    sequence = Video(film)
    if film.suffix != ".mkv":  # there the number is an estimate
        sequence._stated = 300
        with pytest.raises(SourceError, match=rf"{film.name} ends at frame 30 of 300.*copy it "):
            list(sequence)
    with pytest.raises(IndexError):
        sequence[200]
    film.write_text("no video")
    with pytest.raises(SourceError, match=rf"{film.name} is no video.*convert it with ffmpeg"):
        Video(film)
    with pytest.raises(SourceError, match=r"gone\.mp4 is not a file: give a video"):
        Video(film.parent / "gone.mp4")


class StandIn:
    """A fake cv2.VideoCapture that gives some blue images and then fails."""

    def __init__(self, images: int, opened: bool = True) -> None:
        self.left, self.opened, self.asked = images, opened, {}
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def get(self, propId: int) -> float:
        return 25.0 if propId == cv2.CAP_PROP_FPS else 0.0

    def set(self, propId: int, value: float) -> bool:
        self.asked[propId] = value
        return True

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, BLUE.copy()

    def release(self) -> None:
        self.released = True


@pytest.fixture
def device(tmp_path: Path, monkeypatch) -> Path:
    """A file in place of a device, and a ROS_HOME without calibrations."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    (tmp_path / "ros" / "camera_info").mkdir(parents=True)
    write_camera_yaml(tmp_path / "c.yaml", CAMERA)
    (tmp_path / "video0").touch()
    return tmp_path / "video0"


def test_v4l2_until_the_cable_is_pulled(device: Path, monkeypatch) -> None:
    """RGB; stamps increase even if the clock is set back; the device is closed afterwards."""
    clock = iter((50, 40, 60, 70))
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    capture = StandIn(2)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    sequence = V4l2(f"{device}?camera={device.parent}/c.yaml")
    assert isinstance(sequence, Sequence)
    assert not isinstance(sequence, Recording)
    assert sequence.live
    frames = iter(sequence)
    first, second = next(frames), next(frames)
    assert (first.stamp_ns, second.stamp_ns) == (50, 51)
    assert first.image[0, 0].tolist() == [20, 10, 250]
    assert first.camera == CAMERA
    assert sequence.rate_hz == 25.0
    assert capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == 64
    with pytest.raises(SourceError, match=r"video0 gives no images any more \(after 2\): check"):
        next(frames)
    assert capture.released

    capture = StandIn(5)
    for _ in V4l2(f"{device}?camera={device.parent}/c.yaml"):
        break
    assert capture.released, "the caller has stopped"


def test_v4l2_finds_the_calibration_of_ros(device: Path, monkeypatch) -> None:
    """The only YAML in $ROS_HOME/camera_info; none or several are errors."""
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: StandIn(1))
    folder = device.parent / "ros" / "camera_info"
    with pytest.raises(CalibrationError, match=r"video0 has no camera calibration in .*\?camera="):
        V4l2(device)
    shutil.copy(device.parent / "c.yaml", folder / "webcam.yaml")
    assert next(iter(V4l2(device))).camera == CAMERA
    shutil.copy(device.parent / "c.yaml", folder / "other.yaml")
    with pytest.raises(CalibrationError, match=r"\?camera=.*other\.yaml, webcam\.yaml"):
        V4l2(device)


def test_v4l2_errors(device: Path, monkeypatch) -> None:
    """Busy, permission denied, missing, or an unknown option."""
    text = f"{device}?camera={device.parent}/c.yaml"
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: StandIn(1, opened=False))
    with pytest.raises(SourceError, match="video0 cannot be opened as a camera: close the program"):
        next(iter(V4l2(text)))
    with pytest.raises(SourceError, match=r"size=3: only \?camera="):
        V4l2(f"{device}?size=3")
    with pytest.raises(CalibrationError, match=r"no\.yaml cannot be read.*by hand"):
        V4l2(f"{device}?camera={device.parent}/no.yaml")
    with pytest.raises(SourceError, match=r"video99 does not exist: plug.*there is .*kinds"):
        open_source("/dev/video99")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SourceError, match="video0: permission denied: sudo usermod -aG video"):
        V4l2(text)


def test_v4l2_with_real_opencv_refuses_a_file_clearly(device: Path) -> None:
    with pytest.raises(SourceError, match="video0 cannot be opened as a camera"):
        next(iter(V4l2(f"{device}?camera={device.parent}/c.yaml")))


def test_seven_scenes(scenes: Path) -> None:
    """Depth in metres, NaN for both invalid values; the pose is None if tracking was lost."""
    sequence = open_source(str(scenes))
    assert_recording(sequence, "seven_scenes", "kitchen", 30.0, [0, 33_333_333])
    assert [f.name for f in sequence] == ["frame-000000", "frame-000001"]
    assert sequence[0].image[0, 0].tolist() == [20, 10, 250]
    truth = sequence.truth(0)
    assert np.isnan(truth.depth[0, :2]).all()
    assert truth.depth[1, 1] == 1.5
    assert truth.world_from_camera is not None
    assert sequence.truth(1).world_from_camera is None
    (scenes / "camera-intrinsics.txt").rename(scenes.parent / "camera-intrinsics.txt")
    (scenes / "frame-000001.depth.png").unlink()
    (scenes / "frame-000001.pose.txt").unlink()
    sequence = SevenScenes(scenes)
    assert sequence[1].camera.fx == 60.0
    assert sequence.truth(1).depth is None


@pytest.mark.parametrize(
    ("file", "text", "error", "expected"),
    [
        ("camera-intrinsics.txt", None, CalibrationError, "write there the colour camera"),
        ("camera-intrinsics.txt", "1 2 3", CalibrationError, "3 lines of 3 numbers"),
        ("camera-intrinsics.txt", "0 0 0\n" * 3, CalibrationError, "uncalibrated.*calibrate it"),
        ("camera-intrinsics.txt", "585 0 320\n0 585 240\n0 0 1", CalibrationError, "64x48: scale"),
        ("frame-000000.pose.txt", "1 0 0 0", SourceError, "not a 4x4 matrix: restore"),
        ("frame-000000.depth.png", "text", SourceError, "no image.*restore or delete"),
    ],
)
def test_seven_scenes_errors(
    scenes: Path, file: str, text: str | None, error: type[Exception], expected: str
) -> None:
    path = scenes / file
    write_or_remove(path, text)
    with pytest.raises(error, match=f"{path.name}.*{expected}"):
        _ = [(SevenScenes(scenes)[0], SevenScenes(scenes).truth(0))]


def test_depth_must_be_16_bit(scenes: Path) -> None:
    """An 8-bit image is an error."""
    cv2.imwrite(str(scenes / "frame-000000.depth.png"), BLUE)
    with pytest.raises(SourceError, match=r"depth\.png is uint8.*16-bit PNG.*fetch the file"):
        SevenScenes(scenes).truth(0)
    with pytest.raises(SourceError, match=r"holds no frame-\*\.color\.png"):
        SevenScenes(scenes.parent)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rosbag3:x.bag", "unknown kind 'rosbag3' in 'rosbag3:x.bag': write one of kitti_raw"),
        ("/no/such/folder", "/no/such/folder does not exist: check"),
        ("folder:/no/such/folder", "/no/such/folder does not exist: check"),
        ("video:/no/such.mp4", "/no/such.mp4 is not a file: give a video"),
        ("", "is empty: give a path"),
        ("{tmp}", "holds no images: put some"),
        ("{tmp}/notes.txt", r"notes\.txt is neither a video, a bag nor a folder: give"),
        ("{tmp}/one.jpg", r"one\.jpg is a single image: give its folder"),
        ("folder:{tmp}/notes.txt", r"notes\.txt is not a folder: give a folder"),
        ("{tmp}/bad.mp4", r"bad\.mp4 is no video.*convert it"),
    ],
)
def test_open_source_errors(tmp_path: Path, text: str, expected: str) -> None:
    """The message names the input and the remedy, and lists all kinds."""
    if "/" in text.replace("{tmp}", "", 1) and "{tmp}" in text:
        for name in ("notes.txt", "one.jpg", "bad.mp4"):
            (tmp_path / name).write_text("x")
    with pytest.raises(SourceError, match=expected) as caught:
        open_source(text.replace("{tmp}", str(tmp_path)))
    for kind in READERS:
        assert f"{kind}:" in str(caught.value)


def test_open_source_by_kind(clip: Path, film: Path, scenes: Path) -> None:
    """`kind:path` overrides recognition; an existing path may contain a colon."""
    assert open_source(f"folder:{clip}").kind == "folder"
    assert open_source(f"video:{film}").kind == "video"
    with pytest.raises(CalibrationError):
        open_source(f"folder:{scenes}")
    odd = clip.rename(clip.parent / "run:3")
    assert open_source(str(odd)).name == "run:3"


@pytest.mark.parametrize("text", ["synthetic", "synthetic:street?seed=3"])
def test_open_source_synthetic(text: str) -> None:
    assert open_source(text).kind == "synthetic"
