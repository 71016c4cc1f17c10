# SPDX-License-Identifier: Apache-2.0
"""The synthetic street as a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.reader import RecordingReader
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.street.path import CAMERA_HEIGHT, Bend, Drive, generator
from depth_recog.datasets.street.scene import SCENES
from depth_recog.datasets.street.scene import scene as scene_of
from depth_recog.datasets.street.shade import Painter
from depth_recog.datasets.street.textures import finish
from depth_recog.datasets.street.truth import truth_of
from depth_recog.datasets.street.view import StreetView, Surroundings
from depth_recog.errors import SourceError
from depth_recog.method.geometry.camera import Camera

_REFERENCE = Camera(width=416, height=128, fx=241.7, fy=246.3, cx=204.0, cy=58.8)

_MOTION, _GAIN = 1, 2
_LIMITS = {
    "seed": (0, 2**31 - 1),
    "frames": (1, 1_000_000),
    "width": (32, 2048),
    "height": (32, 2048),
    "rate": (0.1, 1000.0),
    "mount": (0.2, 5.0),
    "pitch": (-30.0, 45.0),
    "fov": (20.0, 130.0),
    "speed": (0.0, 40.0),
}


@dataclass(frozen=True)
class Mount:
    """How the camera is mounted, its lens, and how fast it is carried.

    Attributes:
        height: above the ground, metres.
        pitch: below the horizon, degrees.
        fov: horizontal field of view, degrees; None for KITTI's, 81 degrees.
        speed: mean speed, metres per second; None for the scene's.
    """

    height: float = CAMERA_HEIGHT
    pitch: float = 0.0
    fov: float | None = None
    speed: float | None = None

    def camera(self, width: int, height: int) -> Camera:
        """The intrinsics of images of this size."""
        if self.fov is None:
            return _REFERENCE.resized(width, height)
        focal = width / 2 / math.tan(math.radians(self.fov) / 2)
        return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


class SyntheticStreet(RecordingReader):
    """A camera's drive along an endless street, with exact ground truth. A `Recording`.

    Frame i depends only on scene, seed, i, image size and rate. The origin of the world frame is on
    the ground at the start of the street, x right, y down, z forward.

    The truth is sampled at pixel centres:

    - `flow` follows the surface point seen at a pixel with the rigid part that it belongs to (a
      person's limb is a part), also where that point is hidden or outside the image in the next
      frame. For the sky it is the flow of points at infinity, which depends on the camera's
      rotation only. NaN where the point comes to lie behind the camera, and in the last frame.
    - `moving` marks the pixels of objects whose speed in the world is above zero.
    - `labels` are road, sidewalk, building, pole, traffic sign, vegetation, terrain, sky, person
      and car; every pixel has one.
    - `boxes` holds each car and person, parked cars included, of which at least one pixel is
      visible. A box encloses the object exactly in every phase of a person's steps, except for
      parts below the ground. Its speed is the displacement over one second around the frame, so
      a car that starts within the next half second has a speed but is not yet moving.

    Args:
        scene: a name in `SCENES`.
        seed: seed of the random content.
        frames: number of frames.
        width: image width, pixels.
        height: image height, pixels.
        rate_hz: frames per second.
        mount: height and pitch of the camera, its field of view and its speed.

    Raises:
        SourceError: the scene is unknown, or a value is outside of its range.
    """

    kind = "synthetic"

    def __init__(
        self,
        scene: str = "street",
        seed: int = 0,
        frames: int = 120,
        width: int = 416,
        height: int = 128,
        rate_hz: float = 10.0,
        mount: Mount = Mount(),
    ) -> None:
        """Checks the arguments; renders nothing yet."""
        if scene not in SCENES:
            raise SourceError(f"unknown scene {scene!r}: one of {', '.join(SCENES)} is needed")
        given = {"seed": seed, "frames": frames, "width": width, "height": height, "rate": rate_hz}
        given |= {"mount": mount.height, "pitch": mount.pitch, "fov": mount.fov or 90.0}
        given |= {"speed": mount.speed or 0.0}
        for key, value in given.items():
            low, high = _LIMITS[key]
            if not low <= value <= high:
                raise SourceError(f"{key}={value} of the synthetic street: {low} to {high} allowed")
        self.name = f"{scene}-{seed}"
        self.rate_hz = float(rate_hz)
        self.camera = mount.camera(width, height)
        self._scene, self._seed, self._frames = scene_of(scene), seed, frames
        if mount.speed is not None:
            self._scene = replace(self._scene, speed=mount.speed)
        phases = generator(seed, _MOTION).uniform(0.0, 2.0 * math.pi, 10)
        bend = Bend(self._scene.bend, (float(phases[8]), float(phases[9])))
        moves = tuple(float(p) for p in phases[:8])
        pitch = math.radians(mount.pitch)
        self._drive = Drive(bend, self._scene.speed, moves, mount.height, pitch)
        self._surroundings = Surroundings(self._scene, seed, self._drive)
        self._painter = Painter(seed, bend, self._scene.texture)
        self._latest: tuple[int, StreetView] | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return self._frames

    def _frame(self, index: int) -> Frame:
        image = self._painter.paint(self.camera, self.view(index))
        if self._scene.gain:
            image = finish(image.astype(np.float32) * np.float32(self.gain(index)))
        return Frame(f"{index:010d}", self._stamp(index), image, self.camera)

    def stamp_ns(self, index: int) -> int:
        """See `RecordingReader`."""
        return self._stamp(range(self._frames)[index])

    def _truth(self, index: int) -> Truth:
        view = self.view(index)
        following: NDArray[np.float64] | None = None
        if index + 1 < self._frames:
            following = self._drive.world_from_camera(self._time(index + 1))
        return truth_of(self.camera, view, self._drive.bend, following)

    def _file(self, index: int) -> Path | None:
        return None

    def view(self, index: int) -> StreetView:
        """Surfaces and rigid motions of a frame. Raises IndexError beyond the end.

        The latest view is cached, as an image and its ground truth share it.
        """
        index = range(self._frames)[index]
        if self._latest is None or self._latest[0] != index:
            view = self._surroundings.view(self._time(index), self._time(index + 1))
            self._latest = index, view
        return self._latest[1]

    def gain(self, index: int) -> float:
        """Factor on the image of frame `index`; 1 except in the scene "exposure"."""
        if not self._scene.gain:
            return 1.0
        return math.exp(generator(self._seed, _GAIN, index).uniform(-0.35, 0.25))

    def _stamp(self, index: int) -> int:
        """Nanoseconds, computed exactly."""
        return round(index * Fraction(10**9) / Fraction(self.rate_hz))

    def _time(self, index: int) -> float:
        return index / self.rate_hz


_WHOLE = ("seed", "frames", "width", "height")


def parse_spec(text: str) -> SyntheticStreet:
    """Parses "street?seed=3&frames=60&width=640&height=192&rate=30&mount=0.5&pitch=10&fov=90".

    Args:
        text: a scene's name, optionally with seed, frames, width, height and rate, and with the
            camera's `mount` (height, metres), `pitch` (below the horizon), `fov` (degrees) and
            `speed` (metres per second).

    Raises:
        SourceError: the scene or a key is unknown, or a value is no number or out of range.
    """
    scene, _, query = text.partition("?")
    given: dict[str, float] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _LIMITS:
            raise SourceError(
                f"unknown key {key!r} in {text!r}: one of {', '.join(_LIMITS)} is needed"
            )
        if key in given:
            raise SourceError(f"{key} is given twice in {text!r}")
        try:
            given[key] = int(value) if key in _WHOLE else float(value)
        except ValueError:
            kind = "a whole number" if key in _WHOLE else "a number"
            raise SourceError(f"{key}={value} in {text!r}: {kind} is needed") from None
    return SyntheticStreet(
        scene or "street",
        seed=int(given.get("seed", 0)),
        frames=int(given.get("frames", 120)),
        width=int(given.get("width", 416)),
        height=int(given.get("height", 128)),
        rate_hz=given.get("rate", 10.0),
        mount=Mount(
            given.get("mount", CAMERA_HEIGHT),
            given.get("pitch", 0.0),
            given.get("fov"),
            given.get("speed"),
        ),
    )
