# SPDX-License-Identifier: Apache-2.0
"""The door for the robot's motion beside a recording: CSV, KITTI poses, TUM poses."""

from __future__ import annotations

from pathlib import Path

from kitti_files import write_drive

from depth_recog.datasets.robot_motion import read_motion
from depth_recog.datasets.sources import open_source
from fuzz.mutations import Files
from fuzz.running import Door, taken
from fuzz.sources import each

TEXTS = {
    "speed.csv": "time, speed (m/s)\n" + "".join(f"{0.1 * i:.1f},8.{i}\n" for i in range(20)),
    "places.csv": "t,x,y,z\n" + "".join(f"{0.1 * i:.1f},{i},0,0\n" for i in range(20)),
    "kitti.txt": "".join(f"1 0 0 {i} 0 1 0 0 0 0 1 0\n" for i in range(20)),
    "tum.txt": "# time x y z q\n" + "".join(f"{i}.5 {i} 0 0 0 0 0 1\n" for i in range(20)),
}


def _files(folder: Path) -> list[Files]:
    write_drive(folder / "drive")
    around = taken(folder)
    return [{**around, name: text.encode()} for name, text in TEXTS.items()]


def _read(folder: Path) -> None:
    (drive,) = folder.glob("drive/*/*_sync")
    sequence = open_source(str(drive))

    def moved(path: Path) -> None:
        buffer = read_motion(str(path), sequence)
        for index in range(20):
            buffer.at(index * 10**8)

    each(*(lambda p=p: moved(p) for p in folder.iterdir() if p.is_file()))


DOORS = (Door("motion of the robot", _files, _read, r"^[a-z]+\.(csv|txt)$"),)
