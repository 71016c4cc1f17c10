# SPDX-License-Identifier: Apache-2.0
"""Virtual KITTI 2: the synthetic street is written in its layout and read back."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from street_files import (
    assert_damage_is_named,
    assert_recording,
    extent,
    lead_car,
    read_all,
    unproject,
    write_png,
)

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.research.vkitti2.reader import VKitti2
from depth_recog.datasets.sources import open_source
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.datasets.street.path import pose
from depth_recog.errors import CalibrationError, SourceError

STREET = SyntheticStreet("lead_car", seed=3, frames=4, width=128, height=64)
TRACK = 4
# The data set's world frame is translated and rotated against the street's, to detect wrong signs.
WORLD_FROM_STREET = pose(53.0, -106.0, 80.0, 0.7)
# The data set's own colours; three names of Cityscapes' classes have two of them.
COLOURS = {
    "Terrain": (210, 0, 200), "Sky": (90, 200, 255), "Tree": (0, 199, 0),
    "Vegetation": (90, 240, 0), "Building": (140, 140, 140), "Road": (100, 60, 100),
    "GuardRail": (250, 100, 255), "TrafficSign": (255, 255, 0), "TrafficLight": (200, 200, 0),
    "Pole": (255, 130, 0), "Misc": (80, 80, 80), "Truck": (160, 60, 60), "Car": (255, 127, 80),
    "Van": (0, 139, 139), "Undefined": (0, 0, 0),
}  # fmt: skip
BY_TRAIN_ID = {
    0: "Road", 1: "Misc", 2: "Building", 5: "Pole", 7: "TrafficSign", 8: "Tree", 9: "Terrain",
    10: "Sky", 13: "Car",
}  # fmt: skip
BBOX = (
    "frame cameraID trackID left right top bottom number_pixels truncation_ratio occupancy_ratio "
    "isMoving"
)
POSE = (
    "frame cameraID trackID alpha width height length world_space_X world_space_Y world_space_Z "
    "rotation_world_space_y rotation_world_space_x rotation_world_space_z camera_space_X "
    "camera_space_Y camera_space_Z rotation_camera_space_y rotation_camera_space_x "
    "rotation_camera_space_z"
)
EXTRINSIC = "frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"


def world_from_camera(index: int, camera: int) -> NDArray[np.float64]:
    """Camera 1 is half a metre to the right."""
    offset = pose(0.53 * camera, 0, 0, 0)
    return WORLD_FROM_STREET @ STREET.truth(index).world_from_camera @ offset


def vehicle_row(index: int, camera: int) -> str:
    """The lead car's line of pose.txt."""
    part = lead_car(STREET, index)
    low, high = extent(part.mesh)
    width, height, length = high - low
    bottom = np.array([(low[0] + high[0]) / 2, high[1], (low[2] + high[2]) / 2, 1])
    world_from_body = WORLD_FROM_STREET @ part.now
    place = world_from_body @ bottom
    heading = np.arctan2(world_from_body[0, 2], world_from_body[2, 2])
    seen = np.linalg.inv(world_from_camera(index, camera)) @ place
    # KITTI's angle is 0 where the front is along x; the street's where it is along z.
    values = (width, height, length, *place[:3], heading - np.pi / 2, 0, 0, *seen[:3], 0, 0, 0)
    return f"{index} {camera} {TRACK} 0 {' '.join(f'{value:.6f}' for value in values)}"


def write_variation(root: Path) -> Path:
    """All files of one variation; of camera 1 the images, intrinsics and extrinsics."""
    place = root / "Scene01/clone"
    tables = {
        "intrinsic.txt": ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"],
        "extrinsic.txt": [EXTRINSIC],
        "bbox.txt": [BBOX],
        "pose.txt": [POSE],
        "info.txt": ["trackID label model color", f"{TRACK} Van Multivan Red", "7 Car SUV Black"],
        "colors.txt": ["Category r g b", *(f"{n} {r} {g} {b}" for n, (r, g, b) in COLOURS.items())],
    }
    k = STREET.camera
    for i, frame in enumerate(STREET):
        truth = STREET.truth(i)
        for camera in (0, 1):
            image = place / f"frames/rgb/Camera_{camera}/rgb_{i:05d}.jpg"
            write_png(image, np.flip(frame.image, 0) if camera else frame.image)
            fx = k.fx + 0.25 * camera + i
            tables["intrinsic.txt"].append(f"{i} {camera} {fx} {k.fy} {k.cx} {k.cy}")
            matrix = np.linalg.inv(world_from_camera(i, camera)).ravel()
            tables["extrinsic.txt"].append(f"{i} {camera} {' '.join(map(repr, matrix.tolist()))}")
            tables["bbox.txt"].append(f"{i} {camera} {TRACK} 0 9 0 9 99 0 0.9 True")
            tables["bbox.txt"].append(f"{i} {camera} 7 0 9 0 9 99 0.25 0.9 False")
            tables["pose.txt"].append(vehicle_row(i, camera))
        depth = np.where(np.isinf(truth.depth), 65535, np.rint(truth.depth * 100))
        write_png(place / f"frames/depth/Camera_0/depth_{i:05d}.png", depth.astype(np.uint16))
        classes = np.zeros((*truth.labels.shape, 3), np.uint8)
        for train_id in np.unique(truth.labels):
            classes[truth.labels == train_id] = COLOURS[BY_TRAIN_ID[int(train_id)]]
        write_png(place / f"frames/classSegmentation/Camera_0/classgt_{i:05d}.png", classes)
        instances = np.where(truth.moving, TRACK + 1, 0)
        instances[-8:, :8] = 7 + 1  # a car that is parked
        picture = Image.fromarray(instances.astype(np.uint8), "P")
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        file = place / f"frames/instanceSegmentation/Camera_0/instancegt_{i:05d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
        if i + 1 < len(STREET):
            height, width = truth.depth.shape
            unit = truth.flow / (width - 1, height - 1)
            known = np.isfinite(unit).all(-1) & (np.abs(unit) < 1).all(-1) & ~np.isinf(truth.depth)
            codes = np.zeros((height, width, 3), np.uint16)
            codes[known, :2] = np.rint((unit[known] + 1) / 2 * 65535)
            codes[known, 2] = 65535
            write_png(place / f"frames/forwardFlow/Camera_0/flow_{i:05d}.png", codes)
    for name, lines in tables.items():
        (place / name).write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Read only."""
    return write_variation(tmp_path_factory.mktemp("vkitti"))


@pytest.fixture
def variation(written: Path, tmp_path: Path) -> Path:
    """A writable copy."""
    return Path(shutil.copytree(written, tmp_path / "Scene01/clone"))


def test_frames(written: Path) -> None:
    """10 Hz by number; each frame's own intrinsics, relative to pixel centres."""
    sequence = open_source(str(written))
    stamps = [i * 100_000_000 for i in range(4)]
    assert_recording(sequence, "vkitti2", "Scene01-clone-0", 10.0, stamps)
    frame, k = sequence[2], STREET.camera
    assert frame.name == "rgb_00002"
    assert frame.camera.size == (128, 64)
    assert (frame.camera.fx, frame.camera.cx, frame.camera.cy) == (k.fx + 2, k.cx, k.cy)
    assert np.abs(frame.image.astype(float) - STREET[2].image).mean() < 4  # JPEG
    assert sequence.file(2) == written / "frames/rgb/Camera_0/rgb_00002.jpg"


@pytest.mark.parametrize("index", range(4))
def test_ground_truth(written: Path, index: int) -> None:
    """Within the resolution of the files: centimetres and 16 bits."""
    truth, street = VKitti2(written).truth(index), STREET.truth(index)
    sky = np.isinf(street.depth)
    assert 0 < sky.mean() < 1
    np.testing.assert_array_equal(np.isposinf(truth.depth), sky)
    np.testing.assert_allclose(truth.depth[~sky], street.depth[~sky], atol=0.0051)
    np.testing.assert_allclose(truth.world_from_camera, world_from_camera(index, 0), atol=1e-9)
    # The data set has no sidewalks.
    np.testing.assert_array_equal(truth.labels, np.where(street.labels == 1, 255, street.labels))
    assert street.moving.any()
    np.testing.assert_array_equal(truth.moving, street.moving)
    if index == 3:
        assert truth.flow is None
        return
    known = np.isfinite(truth.flow).all(-1)
    assert known.mean() > 0.5
    assert not known[sky].any()
    np.testing.assert_allclose(truth.flow[known], street.flow[known], atol=128 / 65535)


def test_every_category(variation: Path) -> None:
    """In the order of colors.txt, as Cityscapes numbers them."""
    classes = np.zeros((64, 128, 3), np.uint8)
    classes[0, :15] = list(COLOURS.values())
    write_png(variation / "frames/classSegmentation/Camera_0/classgt_00000.png", classes)
    labels = VKitti2(variation).truth(0).labels[0, :15]
    assert labels.tolist() == [9, 10, 8, 8, 2, 0, 255, 7, 6, 5, 255, 14, 13, 13, 255]


@pytest.mark.parametrize("index", range(4))
def test_the_box_holds_the_car(written: Path, index: int) -> None:
    """The box encloses all depth points of the car and is not larger than the car."""
    sequence = VKitti2(written)
    truth = sequence.truth(index)
    (box,) = truth.boxes
    assert (box.track, box.kind, box.truncated) == ("4", "car", False)
    points = unproject(truth.depth, STREET.camera)
    car = STREET.truth(index).moving
    larger = Box("", "", box.T_camera_from_box, tuple(s + 0.04 for s in box.size), 0.0)
    np.testing.assert_array_equal(larger.contains(points)[car], True)
    left, top, right, bottom = box.outline(STREET.camera)
    rows, columns = np.nonzero(car)
    # The corners of the box project beyond the car's pixels.
    np.testing.assert_allclose((left, right), (columns.min(), columns.max()), atol=1.5)
    np.testing.assert_allclose((top, bottom), (rows.min(), rows.max()), atol=3)
    low, high = extent(lead_car(STREET, index).mesh)
    np.testing.assert_allclose(box.size, (high - low)[[2, 0, 1]], atol=1e-6)
    front, _, up = box.T_camera_from_box[:3, :3].T
    body = np.linalg.inv(STREET.truth(index).world_from_camera) @ lead_car(STREET, index).now
    np.testing.assert_allclose(front, body[:3, 2], atol=1e-5)
    np.testing.assert_allclose(up, -body[:3, 1], atol=1e-5)


def test_a_vehicle_on_a_slope(variation: Path) -> None:
    """Rotation about z, then x, then y, as in KITTI."""
    file = variation / "pose.txt"
    lines = file.read_text().splitlines()
    fields = lines[1].split()
    fields[10:13] = ("0.9", "0.2", "-0.1")
    file.write_text("\n".join((lines[0], " ".join(fields))))
    truth = VKitti2(variation).truth(0)
    front = np.array([np.cos(0.1), -np.sin(0.1), 0])  # x, about z by -0.1
    front = np.array([front[0], np.cos(0.2) * front[1], np.sin(0.2) * front[1]])
    c, s = np.cos(0.9), np.sin(0.9)
    front = np.array([c * front[0] + s * front[2], front[1], c * front[2] - s * front[0]])
    seen = truth.world_from_camera[:3, :3] @ truth.boxes[0].T_camera_from_box[:3, 0]
    np.testing.assert_allclose(seen, front, atol=1e-9)


def replace_text(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_vehicle_at_the_image_border(variation: Path) -> None:
    row = f"\n2 0 {TRACK} 0 9 0 9 99 0"
    replace_text(variation / "bbox.txt", f"{row} ", f"{row}.004 ")
    sequence = VKitti2(variation)
    assert [sequence.truth(i).boxes[0].truncated for i in range(4)] == [False, False, True, False]


def test_speed_is_the_displacement_in_the_world(written: Path) -> None:
    """All four frames are within one second, so they give one speed."""
    first, last = (lead_car(STREET, i).now[:3, 3] for i in (0, 3))
    for index in range(4):
        (box,) = VKitti2(written).truth(index).boxes
        assert box.speed == pytest.approx(np.linalg.norm(last - first) / 0.3, abs=1e-4)


def test_speed_is_unknown_for_a_single_position(variation: Path) -> None:
    lines = (variation / "pose.txt").read_text().splitlines()
    (variation / "pose.txt").write_text("\n".join((lines[0], lines[1])))
    sequence = VKitti2(variation)
    assert np.isnan(sequence.truth(0).boxes[0].speed)
    assert sequence.truth(1).boxes == ()


@pytest.mark.parametrize("path", ["{}?camera=1", "{}/frames/rgb/Camera_1"])
def test_the_right_camera(written: Path, path: str) -> None:
    """By option or by its folder; here it has images and poses, but no ground truth images."""
    sequence = open_source(path.format(written))
    assert sequence.name == "Scene01-clone-1"
    assert sequence[1].camera.fx == STREET.camera.fx + 1.25
    upside_down = np.flip(STREET[1].image, 0).astype(float)
    assert np.abs(sequence[1].image - upside_down).mean() < 4
    truth = sequence.truth(1)
    np.testing.assert_allclose(truth.world_from_camera, world_from_camera(1, 1), atol=1e-9)
    assert len(truth.boxes) == 1
    assert truth.depth is truth.labels is truth.moving is truth.flow is None


def test_downloads_that_stay_apart(written: Path, tmp_path: Path) -> None:
    """Each download in its own folder; all are found from any of them."""
    parts = ["rgb", "depth", "classSegmentation", "instanceSegmentation", "forwardFlow", "textgt"]
    for part in parts:
        place = tmp_path / f"vkitti_2.0.3_{part}/Scene01/clone"
        if part == "textgt":
            place.mkdir(parents=True)
            for file in written.glob("*.txt"):
                shutil.copy(file, place)
        else:
            shutil.copytree(written / f"frames/{part}", place / f"frames/{part}")
    whole = VKitti2(written).truth(1)
    for part in ("rgb", "depth"):
        truth = VKitti2(tmp_path / f"vkitti_2.0.3_{part}/Scene01/clone").truth(1)
        for name in ("depth", "world_from_camera", "labels", "moving", "flow"):
            np.testing.assert_array_equal(getattr(truth, name), getattr(whole, name))
        assert [box.track for box in truth.boxes] == ["4"]
    shutil.rmtree(tmp_path / "vkitti_2.0.3_depth")
    assert VKitti2(tmp_path / "vkitti_2.0.3_rgb/Scene01/clone").truth(1).depth is None
    shutil.rmtree(tmp_path / "vkitti_2.0.3_textgt")
    with pytest.raises(CalibrationError, match=r"intrinsic\.txt cannot be read.*textgt"):
        VKitti2(tmp_path / "vkitti_2.0.3_rgb/Scene01/clone")


def test_left_out_images(variation: Path) -> None:
    """Files are assigned to images by number; no flow without the next image."""
    (variation / "frames/rgb/Camera_0/rgb_00001.jpg").unlink()
    sequence = VKitti2(variation)
    assert [frame.stamp_ns for frame in sequence] == [0, 200_000_000, 300_000_000]
    assert sequence.truth(0).flow is None
    assert sequence.truth(1).flow is not None
    np.testing.assert_array_equal(sequence.truth(1).moving, STREET.truth(2).moving)
    np.testing.assert_array_equal(sequence.truth(-2).flow, sequence.truth(1).flow)


@pytest.mark.parametrize(
    ("file", "old", "new", "error", "expected"),
    [
        ("intrinsic.txt", "K[0,0]", "f", CalibrationError, r"no column K\[0,0\] in its header"),
        ("intrinsic.txt", "\n2 0 ", "\n9 0 ", CalibrationError, "no line for frame 2, camera 0"),
        ("intrinsic.txt", f" {STREET.camera.cx} ", " ", CalibrationError, "5 values under 6"),
        ("extrinsic.txt", "\n2 0 ", "\n9 0 ", SourceError, "no line for frame 2, camera 0"),
        ("extrinsic.txt", "\n2 0 ", "\n2 0 2", SourceError, "frame 2: r is no rotation"),
        ("bbox.txt", "True", "maybe", SourceError, "maybe.*textgt"),
        ("bbox.txt", "2 0 4 0", "2 0 5 0", SourceError, "track 4 is not in bbox.txt"),
        ("info.txt", "4 Van", "4 Tram", SourceError, "track '4' is a 'Tram', none of Car"),
        ("info.txt", "4 Van", "3 Van", SourceError, "track 4 is not in.*info.txt"),
        ("colors.txt", "Road 100 60", "Road 100 61", SourceError, r"colour \[100, 60, 100\]"),
        ("colors.txt", "Road 100 60", "Road 100 300", SourceError, "Road has the colour"),
        ("pose.txt", f"\n1 0 {TRACK} 0", f"\n2 0 {TRACK} 0", SourceError, "4 is twice in frame 2"),
    ],
)
def test_contradictions(
    variation: Path, file: str, old: str, new: str, error: type[Exception], expected: str
) -> None:
    replace_text(variation / file, old, new)
    with pytest.raises(error, match=expected):
        read_all(VKitti2(variation))


def test_poses_of_the_other_camera(variation: Path) -> None:
    """Wrong extrinsics contradict the vehicles' positions in the camera's frame."""
    header, *lines = (variation / "extrinsic.txt").read_text().splitlines()
    fields = [line.split(" ", 2) for line in lines]
    lines = [f"{frame} {1 - int(camera)} {rest}" for frame, camera, rest in fields]
    (variation / "extrinsic.txt").write_text("\n".join((header, *lines)))
    with pytest.raises(SourceError, match=r"pose\.txt, frame 0: track 4 is at .* belong together"):
        read_all(VKitti2(variation))


def test_images_of_another_size(variation: Path) -> None:
    """Cropped or resized images do not fit the intrinsics, nor truth of another size."""
    for i in range(4):
        write_png(variation / f"frames/rgb/Camera_0/rgb_{i:05d}.jpg", np.zeros((32, 64, 3), "u1"))
    sequence = VKitti2(variation)
    with pytest.raises(CalibrationError, match=r"intrinsic\.txt puts the principal point"):
        sequence[0]
    with pytest.raises(SourceError, match=r"depth_00000\.png is 128x64, its image 64x32"):
        sequence.truth(0)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "expected"),
    [
        ("forwardFlow/flow", (64, 128, 3), "u1", "must be 16-bit"),
        ("forwardFlow/flow", (64, 128), "u2", "three channels"),
        ("classSegmentation/classgt", (64, 128), "u1", "three channels"),
        ("instanceSegmentation/instancegt", (64, 128, 3), "u1", "8-bit with one"),
        ("depth/depth", (64, 128), "u1", "16-bit PNG"),
        ("classSegmentation/classgt", (64, 64, 3), "u1", "64x64"),
    ],
)
def test_truth_of_another_kind(
    variation: Path, name: str, shape: tuple[int, ...], dtype: str, expected: str
) -> None:
    folder, stem = name.split("/")
    write_png(variation / f"frames/{folder}/Camera_0/{stem}_00001.png", np.zeros(shape, dtype))
    with pytest.raises(SourceError, match=rf"{stem}_00001\.png.*{expected}"):
        read_all(VKitti2(variation))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{}?camera=2", r"camera must be 0 .* or 1"),
        ("{}?cam=1", r"unknown option 'cam'.*PATH\?camera="),
        ("{}?camera=", r"option camera .* has no value"),
        ("{}?camera=0&camera=1", "camera is given twice"),
        ("{}/frames", r"has no frames/rgb/Camera_0: give a variation"),
        ("{}/nowhere", "nowhere does not exist"),
    ],
)
def test_invalid_paths(written: Path, path: str, expected: str) -> None:
    with pytest.raises(SourceError, match=expected):
        VKitti2(path.format(written))


def test_several_variations(variation: Path) -> None:
    shutil.copytree(variation, variation.parent / "fog")
    with pytest.raises(SourceError, match="holds variations: give one of clone, fog"):
        VKitti2(variation.parent)


def test_damaged_files_are_named(variation: Path, tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    assert_damage_is_named(variation, spare, lambda: read_all(VKitti2(variation)), 50)


def test_a_cut_off_image_of_truth_is_named(variation: Path) -> None:
    for folder in ("depth", "classSegmentation", "instanceSegmentation", "forwardFlow"):
        (file,) = (variation / f"frames/{folder}/Camera_0").glob("*_00001.png")
        data = file.read_bytes()
        file.write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(SourceError, match=rf"{file.name}.*cut off or damaged"):
            VKitti2(variation).truth(1)
        file.write_bytes(data)
        assert cv2.imread(str(file), cv2.IMREAD_UNCHANGED) is not None
