# SPDX-License-Identifier: Apache-2.0
"""Doors for recordings: images, videos, bags and the text files of data sets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bags
import calibration_texts
import cv2
import kitti_files
import numpy as np
import video_files
from rosbags.rosbag2 import CompressionMode

from depth_recog.datasets import image_files
from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.camera_yaml import read_camera_yaml
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.media.video import Video
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import DepthRecogError
from depth_recog.interfaces import compressed_image
from fuzz.mutations import Files
from fuzz.running import Door, taken

LENS = AssumedLens(fov=90.0)
NOISE = np.random.default_rng(1)


def each(*calls: Callable[[], object]) -> None:
    """Call all, also after a refusal; raise the last refusal if none was a success."""
    refused, done = None, False
    for call in calls:
        try:
            call()
            done = True
        except DepthRecogError as error:
            refused = error
    if refused is not None and not done:
        raise refused


def frames_of(recording: Any, most: int = 3) -> None:
    """Read the first frames and their truth, in order and by index."""
    calls: list[Callable[[], object]] = [lambda: list(itertools.islice(recording, most))]
    if isinstance(recording, Recording):
        for index in range(min(most, len(recording))):
            calls += [lambda i=index: recording[i], lambda i=index: recording.truth(i)]
    each(*calls)


def _pictures(folder: Path) -> list[Files]:
    smooth = cv2.resize(NOISE.integers(0, 256, (4, 6, 3), np.uint8), (48, 32))
    grey, deep = smooth[..., 0], smooth[..., 0].astype(np.uint16) * 200
    made = [
        ("a.jpg", smooth, []),
        ("b.jpg", smooth, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        ("c.jpg", grey, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        ("d.png", smooth, []),
        ("e.png", deep, []),
        ("f.png", grey, []),
        ("g.tif", deep, []),
        ("h.tif", smooth, []),
        ("i.bmp", smooth, []),
        ("j.webp", smooth, []),
        ("k.webp", smooth, [cv2.IMWRITE_WEBP_QUALITY, 101]),
        ("l.png", np.dstack((smooth, grey)), []),
    ]
    found = [{name: cv2.imencode(name[1:], p, options)[1].tobytes()} for name, p, options in made]
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    jpeg = found[0]["a.jpg"]
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    return [*found, {"m.jpg": turned}]


def _picture(folder: Path) -> None:
    (file,) = folder.iterdir()
    data = file.read_bytes()
    each(
        lambda: image_files.read_rgb(file),
        lambda: image_files.image_size(file),
        lambda: image_files.read_depth(file, 256.0, (48, 32)),
        lambda: image_files.read_ids(file, (48, 32), "labels"),
        lambda: image_files.read_colour_codes(file, (48, 32), "flow"),
        lambda: compressed_image.to_rgb("rgb8; jpeg compressed bgr8", data),
        lambda: compressed_image.to_rgb("bayer_rggb8; png compressed ", data),
        lambda: Folder(folder, LENS)[0],
    )


def _videos(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    video_files.mp4(folder / "a.mp4", 90, 4)
    video_files.matroska(folder / "b.mkv", [0, 50, 100, 150])
    video_files.matroska(folder / "c.mkv", [0, 50, 100], stream=True)
    writer = cv2.VideoWriter(
        str(folder / "d.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, video_files.SIZE
    )
    for index in range(3):
        writer.write(video_files.picture(index))
    writer.release()
    return [{name: data} for name, data in taken(folder).items()]


def _video(folder: Path) -> None:
    (file,) = folder.iterdir()
    frames_of(Video(file, LENS))


def _mcaps(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    found = [taken(bags.record(folder / "recorded"))]
    for kind in ("NONE", "LZ4", "ZSTD"):
        from mcap.writer import CompressionType

        rows = list(bags.serialised(bags.calibrated(3)))
        options = {"compression": CompressionType[kind], "chunk_size": 4000}
        for crcs in (True, False):
            path = bags.write_mcap(folder / "b.mcap", rows, enable_crcs=crcs, **options)
            found.append({"b.mcap": path.read_bytes()})
    jpeg = cv2.imencode(".jpg", NOISE.integers(0, 256, (24, 32, 3), np.uint8))[1].tobytes()
    messages = [("/cam/camera_info", bags.START, bags.info(bags.START))]
    messages += [
        ("/cam/image_raw/compressed", bags.START + i, bags.compressed(bags.START + i, jpeg))
        for i in (1, 10**8)
    ]
    path = bags.write_mcap(folder / "b.mcap", bags.serialised(messages), enable_crcs=False)
    return [*found, {"b.mcap": path.read_bytes()}]


def _sqlites(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    found = [taken(bags.record(folder / "recorded", "sqlite3"))]
    for mode in (CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE):
        path = bags.write(folder / mode.name, bags.calibrated(3), "sqlite3", mode)
        found.append(taken(path))
    return found


def _bag(folder: Path) -> None:
    files = sorted(folder.rglob("*.mcap")) + sorted(folder.rglob("*.db3*"))
    each(
        lambda: frames_of(Rosbag(folder, LENS)),
        *(lambda f=f: frames_of(Rosbag(f"{f}?bits=12", LENS), 1) for f in files),
    )


def _calibrations(folder: Path) -> list[Files]:
    texts = [t for t in vars(calibration_texts).values() if isinstance(t, str) and ":" in t]
    texts = [text for text in texts if len(text) > 100]
    example = (
        "image_width: 640\nimage_height: 480\ncamera_name: front\ncamera_matrix: {rows: 3, cols: 3,"
        " data: [500, 0, 320, 0, 500, 240, 0, 0, 1]}\ndistortion_model: plumb_bob\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0, 0, 0]}\n"
    )
    echo = (
        "height: 480\nwidth: 640\ndistortion_model: plumb_bob\nd: [0.1, 0, 0, 0, 0]\nk: [500, 0, "
        "320, 0, 500, 240, 0, 0, 1]\nr: [1, 0, 0, 0, 1, 0, 0, 0, 1]\np: [500, 0, 320, 0, 0, 500, "
        "240, 0, 0, 0, 1, 0]\nbinning_x: 0\nbinning_y: 0\nroi: {x_offset: 0, y_offset: 0, height: "
        "0, width: 0, do_rectify: false}\n---\n"
    )
    return [{"camera.yaml": text.encode()} for text in (*texts, example, echo)]


def _tracklets() -> bytes:
    poses = "".join(
        f"<item><tx>{10 + i}</tx><ty>1.5</ty><tz>-1.7</tz><rx>0</rx><ry>0</ry><rz>0.1</rz>"
        "<state>1</state><occlusion>0</occlusion><occlusion_kf>0</occlusion_kf>"
        "<truncation>0</truncation></item>"
        for i in range(3)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n<!DOCTYPE boost_serialization>\n'
        "<boost_serialization><tracklets><count>1</count><item_version>1</item_version><item>"
        "<objectType>Car</objectType><h>1.5</h><w>1.7</w><l>4.0</l><first_frame>0</first_frame>"
        f"<poses><count>3</count><item_version>2</item_version>{poses}</poses><finished>1</finished>"
        "</item></tracklets></boost_serialization>\n"
    )
    return text.encode()


def _drive(folder: Path) -> list[Files]:
    path = kitti_files.write_drive(folder)
    (path / "tracklet_labels.xml").write_bytes(_tracklets())
    return [taken(folder)]


def _source(folder: Path) -> None:
    (only,) = (p for p in folder.iterdir() if p.is_dir())
    drive = open_source(str(only))
    assert isinstance(drive, Recording)
    each(lambda: drive[0], *(lambda i=i: drive.truth(i) for i in range(len(drive))))


def _side_texts(folder: Path) -> list[Files]:
    png = cv2.imencode(".png", NOISE.integers(0, 256, (48, 64, 3), np.uint8))[1].tobytes()
    deep = cv2.imencode(".png", np.full((48, 64), 5000, np.uint16))[1].tobytes()
    intrinsics = "60 0 32\n0 60 24\n0 0 1\n"
    pose = "1 0 0 0.5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    odometry: Files = {
        "sequences/00/calib.txt": b"P2: 60 0 32 4 0 60 24 0 0 0 1 0\n",
        "sequences/00/times.txt": b"0.0\n0.1\n\n0.3\n",
        "poses/00.txt": b"1 0 0 0 0 1 0 0 0 0 1 0\n" * 4,
    }
    odometry |= {f"sequences/00/image_2/{i:06d}.png": png for i in range(4)}
    scenes: Files = {"room/camera-intrinsics.txt": intrinsics.encode()}
    for i in range(2):
        scenes[f"room/frame-{i:06d}.color.png"] = png
        scenes[f"room/frame-{i:06d}.depth.png"] = deep
        scenes[f"room/frame-{i:06d}.pose.txt"] = pose.encode()
    tum: Files = {
        "rgbd_freiburg3/rgb.txt": b"# images\n1.100 rgb/1.100.png\n1.133 rgb/1.133.png\n",
        "rgbd_freiburg3/depth.txt": b"1.105 depth/1.105.png\n1.138 depth/1.138.png\n",
        "rgbd_freiburg3/groundtruth.txt": b"1.09 0 0 0 0 0 0 1\n1.15 0.1 0 0 0 0 0.1 0.995\n",
        "rgbd_freiburg3/rgb/1.100.png": png,
        "rgbd_freiburg3/rgb/1.133.png": png,
        "rgbd_freiburg3/depth/1.105.png": deep,
        "rgbd_freiburg3/depth/1.138.png": deep,
    }
    clip: Files = {
        "clip/camera.yaml": _calibrations(folder)[-2]["camera.yaml"]
        .replace(b"640", b"64")
        .replace(b"480", b"48")
        .replace(b"500, 0, 320, 0, 500, 240", b"50, 0, 32, 0, 50, 24"),
        "clip/timestamps.txt": b"2011-09-26 13:04:32.345808896\n2011-09-26 13:04:32.445808896\n",
        "clip/a.png": png,
        "clip/b.png": png,
    }
    return [odometry, scenes, tum, clip, {**clip, "clip/timestamps.txt": b"1.5\n1.6\n"}]


def _any_source(folder: Path) -> None:
    places = ["sequences/00", "room", "rgbd_freiburg3", "clip"]
    for place in places:
        if (folder / place).is_dir():
            frames_of(open_source(str(folder / place), LENS))


def _tables(folder: Path) -> list[Files]:
    png = cv2.imencode(".png", NOISE.integers(0, 256, (64, 128, 3), np.uint8))[1].tobytes()
    deep = cv2.imencode(".png", np.full((64, 128), 500, np.uint16))[1].tobytes()
    ids = cv2.imencode(".png", np.ones((64, 128), np.uint8))[1].tobytes()
    flow = cv2.imencode(".png", np.full((64, 128, 3), 30000, np.uint16))[1].tobytes()
    road = np.full((64, 128, 3), (100, 60, 100), np.uint8)
    base = "Scene01/clone"
    files: Files = {
        f"{base}/intrinsic.txt": b"frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n"
        b"0 0 70 70 63.5 31.5\n1 0 70 70 63.5 31.5\n",
        f"{base}/extrinsic.txt": b"frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 "
        b"r3,3 t3 0 0 0 1\n0 0 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\n"
        b"1 0 1 0 0 1 0 1 0 0 0 0 1 0 0 0 0 1\n",
        f"{base}/colors.txt": b"Category r g b\nRoad 100 60 100\nCar 255 127 80\n",
        f"{base}/info.txt": b"trackID label model color\n0 Car a b\n",
        f"{base}/bbox.txt": b"frame cameraID trackID left right top bottom number_pixels "
        b"truncation_ratio occupancy_ratio isMoving\n0 0 0 1 9 1 9 60 0.1 0.5 True\n"
        b"1 0 0 1 9 1 9 60 0.0 0.5 False\n",
        f"{base}/pose.txt": b"frame cameraID trackID alpha width height length world_space_X "
        b"world_space_Y world_space_Z rotation_world_space_y rotation_world_space_x "
        b"rotation_world_space_z camera_space_X camera_space_Y camera_space_Z\n"
        b"0 0 0 0 1.7 1.5 4 0 1 9 0 0 0 0 1 9\n1 0 0 0 1.7 1.5 4 0 1 9 0 0 0 1 1 9\n",
    }
    for i in range(2):
        for kind, data in (("rgb", png), ("depth", deep), ("forwardFlow", flow)):
            stem = {"rgb": "rgb", "depth": "depth", "forwardFlow": "flow"}[kind]
            files[f"{base}/frames/{kind}/Camera_0/{stem}_{i:05d}.png"] = data
        files[f"{base}/frames/instanceSegmentation/Camera_0/instancegt_{i:05d}.png"] = ids
        files[f"{base}/frames/classSegmentation/Camera_0/classgt_{i:05d}.png"] = cv2.imencode(
            ".png", road[..., ::-1]
        )[1].tobytes()
    return [files]


def _vkitti(folder: Path) -> None:
    frames_of(open_source(f"vkitti2:{folder}/Scene01/clone"))


def _cities(folder: Path) -> list[Files]:
    png = cv2.imencode(".png", NOISE.integers(0, 256, (64, 128, 3), np.uint8))[1].tobytes()
    deep = cv2.imencode(".png", np.full((64, 128), 500, np.uint16))[1].tobytes()
    place = {"x": 1.7, "y": 0.1, "z": 1.22, "yaw": -0.02, "pitch": 0.04, "roll": 0.01}
    camera = {
        "extrinsic": {"baseline": 0.21, **place},
        "intrinsic": {"fx": 2260.0, "fy": 2260.0, "u0": 1100.0, "v0": 520.0},
    }
    files: Files = {"camera.json": b""}
    files = {"train/aachen/aachen_000003_000019_camera.json": json.dumps(camera).encode()}
    for i in (18, 19):
        stem = f"train/aachen/aachen_000003_{i:06d}"
        files[f"{stem}_leftImg8bit.png"] = png
        files[f"{stem}_timestamp.txt"] = f"{i * 58_800_000}\n".encode()
        files[f"{stem}_vehicle.json"] = b'{"speed": 9.0, "yawRate": 0.3}'
        files[f"{stem}_disparity.png"] = deep
    return [files]


def _city(folder: Path) -> None:
    frames_of(open_source(f"cityscapes:{folder}/train/aachen"))


DOORS = (
    Door("images", _pictures, _picture),
    Door("videos", _videos, _video),
    Door("bags, mcap", _mcaps, _bag, r"\.(mcap|yaml)$"),
    Door("bags, sqlite3", _sqlites, _bag, r"\.(db3|db3\.zstd|yaml)$"),
    Door("camera YAML", _calibrations, lambda folder: read_camera_yaml(folder / "camera.yaml")),
    Door("tracklets", _drive, _source, r"\.xml$"),
    Door("OXTS", _drive, _source, r"oxts/"),
    Door("KITTI calibration", _drive, _source, r"calib_"),
    Door("side texts", _side_texts, _any_source, r"\.(txt|yaml)$"),
    Door("tables of Virtual KITTI 2", _tables, _vkitti, r"\.txt$"),
    Door("JSON of Cityscapes", _cities, _city, r"\.(json|txt)$"),
)
