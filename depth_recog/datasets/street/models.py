# SPDX-License-Identifier: Apache-2.0
"""Models of cars and people in their own frames.

Frame: x right, y down, z forward, metres; the origin is on the ground below the centre.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from depth_recog.datasets.street import textures as tx
from depth_recog.datasets.street.mesh import Builder, Float, Mesh
from depth_recog.datasets.street.path import pose

PERSON, CAR = 11, 13

Colour = tuple[float, float, float]

PAINTS: tuple[Colour, ...] = (
    (0.78, 0.78, 0.80), (0.90, 0.91, 0.92), (0.16, 0.17, 0.19), (0.40, 0.42, 0.45),
    (0.62, 0.08, 0.08), (0.10, 0.20, 0.50), (0.55, 0.57, 0.60), (0.12, 0.28, 0.20),
    (0.68, 0.58, 0.40), (0.09, 0.10, 0.11), (0.25, 0.42, 0.62), (0.80, 0.50, 0.12),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (0.55, 0.12, 0.12), (0.15, 0.22, 0.45), (0.18, 0.18, 0.20), (0.70, 0.65, 0.55),
    (0.12, 0.38, 0.30), (0.75, 0.62, 0.15), (0.45, 0.45, 0.48),
)  # fmt: skip

# The type of a car is given by its cabin.
CAR_SHAPES = ("hatchback", "saloon", "estate", "van")
CAR_LENGTH = 4.3
CAR_WIDTH = 1.78
_CABIN = {
    # rear base, rear top, front top, front base (z from the middle), roof's height
    "hatchback": (-2.05, -1.65, 0.25, 1.15, 1.48),
    "saloon": (-1.55, -0.85, 0.20, 1.10, 1.44),
    "estate": (-2.10, -1.90, 0.30, 1.15, 1.50),
    "van": (-2.10, -2.02, 0.75, 1.60, 1.85),
}
_BELT = 0.90
SWING = 0.42
"""Amplitude of a walker's legs, radians."""

_TYRE: Colour = (0.10, 0.10, 0.11)
_TRIM: Colour = (0.13, 0.13, 0.14)


def _disc(x: float, y: float, z: float, radius: float) -> Float:
    angle = (np.arange(8) + 0.5) * math.pi / 4
    return np.stack((np.full(8, x), y + radius * np.sin(angle), z + radius * np.cos(angle)), axis=1)


def _shrunk(quad: Float, low: float, high: float, side: float, lift: float) -> Float:
    """A window within `quad` (bottom 0-1, top 3-2), `lift` metres in front of it."""
    bottom0, bottom1, top1, top0 = quad
    left0, left1 = bottom0 + (top0 - bottom0) * low, bottom0 + (top0 - bottom0) * high
    right0, right1 = bottom1 + (top1 - bottom1) * low, bottom1 + (top1 - bottom1) * high
    pane = np.stack(
        (
            left0 + (right0 - left0) * side,
            right0 + (left0 - right0) * side,
            right1 + (left1 - right1) * side,
            left1 + (right1 - left1) * side,
        )
    )
    normal = np.cross(bottom1 - bottom0, top0 - bottom0)
    normal /= np.linalg.norm(normal)
    middle = np.array([0.0, -1.0, 0.0])
    return pane + normal * math.copysign(lift, float(normal @ (bottom0 - middle)))


@cache
def _body(shape: str) -> Mesh:
    build = Builder()
    half, long = CAR_WIDTH / 2, CAR_LENGTH / 2
    white: Colour = (1.0, 1.0, 1.0)
    middle = np.array([0.0, -0.7, 0.0])
    rear, rear_top, front_top, front, height = _CABIN[shape]
    nose = 0.74 if shape != "van" else 0.86
    profile = np.array(
        [
            [-long, -0.30], [-long, -0.72], [-long + 0.10, -_BELT], [front, -_BELT - 0.02],
            [long - 0.12, -nose], [long, -0.60], [long, -0.30], [long - 0.2, -0.2],
        ]
    )  # fmt: skip
    walls = np.array([[x, y, z] for x in (-half, half) for z, y in profile]).reshape(2, 8, 3)
    # `tinted` gives the model its colour by the texture PAINT.
    build.hull(walls, white, tx.PAINT, CAR)

    inner = half - 0.17
    base = np.array([[-half + 0.04, -_BELT, rear], [half - 0.04, -_BELT, rear],
                     [half - 0.04, -_BELT, front], [-half + 0.04, -_BELT, front]])  # fmt: skip
    roof = np.array([[-inner, -height, rear_top], [inner, -height, rear_top],
                     [inner, -height, front_top], [-inner, -height, front_top]])  # fmt: skip
    build.hull(np.stack((base, roof)), white, tx.PAINT, CAR)
    centre = np.array([0.0, -1.0, 0.0])
    for i in range(4):
        j = (i + 1) % 4
        face = np.stack((base[i], base[j], roof[j], roof[i]))
        if i % 2 == 0:  # rear window and windscreen
            build.polygon(_shrunk(face, 0.10, 0.92, 0.05, 0.012), centre, white, tx.GLASS, CAR)
            continue
        for part in ((0.0, 0.50), (0.50, 1.0)):
            window = np.stack(
                (
                    face[0] + (face[1] - face[0]) * part[0],
                    face[0] + (face[1] - face[0]) * part[1],
                    face[3] + (face[2] - face[3]) * part[1],
                    face[3] + (face[2] - face[3]) * part[0],
                )
            )
            build.polygon(_shrunk(window, 0.10, 0.88, 0.07, 0.012), centre, white, tx.GLASS, CAR)

    for x in (-half, half):
        out = math.copysign(1.0, x)
        for z in (-1.32, 1.32):
            for lift, radius, tint in ((0.004, 0.38, (0.04, 0.04, 0.04)), (0.012, 0.32, _TYRE),
                                       (0.020, 0.19, (0.55, 0.55, 0.57))):  # fmt: skip
                y = -0.33 if radius > 0.35 else -0.32
                build.polygon(_disc(x + out * lift, y, z, radius), middle, tint, tx.PLAIN, CAR)
            left, right = sorted((x, x - out * 0.2))
            build.box((left, -0.5, z - 0.28), (right, 0.0, z + 0.28), _TYRE, tx.PLAIN, CAR)
        # A dark sill between the wheels, and door seams.
        sill = np.array([[x, -0.20, -0.95], [x, -0.20, 0.95], [x, -0.33, 0.95], [x, -0.33, -0.95]])
        build.polygon(sill + [out * 0.006, 0, 0], middle, _TRIM, tx.PLAIN, CAR)
        for z in (-0.55, 0.42):
            seam = np.array([[x, -0.35, z], [x, -0.35, z + 0.025],
                             [x, -_BELT, z + 0.025], [x, -_BELT, z]])  # fmt: skip
            build.polygon(seam + [out * 0.006, 0, 0], middle, _TRIM, tx.PLAIN, CAR)

    def plate(z: float, x: tuple[float, float], y: tuple[float, float], tint: Colour) -> None:
        lifted = z + math.copysign(0.01, z)
        quad = np.array([[x[0], -y[0], lifted], [x[1], -y[0], lifted],
                         [x[1], -y[1], lifted], [x[0], -y[1], lifted]])  # fmt: skip
        build.polygon(quad, middle, tint, tx.PLAIN, CAR)

    for side in (-1.0, 1.0):
        plate(long, (side * 0.52, side * 0.84), (0.48, 0.60), (1.15, 1.15, 1.05))
        plate(-long, (side * 0.60, side * 0.86), (0.52, 0.71), (0.75, 0.06, 0.05))
    plate(long, (-0.45, 0.45), (0.47, 0.58), (0.08, 0.08, 0.09))
    plate(long, (-0.80, 0.80), (0.30, 0.38), _TRIM)
    plate(-long, (-0.80, 0.80), (0.30, 0.38), _TRIM)
    plate(long, (-0.26, 0.26), (0.385, 0.46), (0.95, 0.95, 0.92))
    plate(-long, (-0.26, 0.26), (0.48, 0.59), (0.95, 0.95, 0.92))
    return build.build()


@cache
def car(shape: int, paint: int) -> Mesh:
    """A car of `CAR_SHAPES[shape]` in the colour `PAINTS[paint]`."""
    return _body(CAR_SHAPES[shape]).tinted(PAINTS[paint], tx.PAINT)


@cache
def person(shirt: int, trousers: int) -> tuple[Mesh, ...]:
    """The rigid parts of a person in clothes of `CLOTHES`.

    Returns:
        Body (origin on the ground), two legs (origin: hip), two arms (origin: shoulder).
    """
    body, leg, arm = Builder(), Builder(), Builder()
    top, bottom = CLOTHES[shirt], CLOTHES[trousers]
    dark: Colour = (bottom[0] * 0.6, bottom[1] * 0.6, bottom[2] * 0.6)
    skin: Colour = (0.85, 0.62, 0.50)
    body.ellipsoid((0.0, -1.62, 0.02), (0.095, 0.125, 0.105), skin, tx.PLAIN, PERSON)
    body.ellipsoid((0.0, -1.66, -0.015), (0.105, 0.115, 0.11), (0.2, 0.14, 0.1), tx.PLAIN, PERSON)
    body.ellipsoid((0.0, -1.47, 0.0), (0.06, 0.1, 0.06), skin, tx.PLAIN, PERSON)
    body.ellipsoid((0.0, -1.24, 0.0), (0.21, 0.24, 0.135), top, tx.CLOTH, PERSON)
    body.ellipsoid((0.0, -1.04, 0.0), (0.175, 0.24, 0.125), top, tx.CLOTH, PERSON)
    leg.ellipsoid((0.0, 0.20, 0.0), (0.095, 0.30, 0.105), dark, tx.CLOTH, PERSON)
    leg.ellipsoid((0.0, 0.60, 0.0), (0.065, 0.31, 0.075), dark, tx.CLOTH, PERSON)
    leg.ellipsoid((0.0, 0.875, 0.06), (0.05, 0.045, 0.13), (0.1, 0.08, 0.07), tx.PLAIN, PERSON)
    arm.ellipsoid((0.0, 0.16, 0.0), (0.055, 0.20, 0.06), top, tx.CLOTH, PERSON)
    arm.ellipsoid((0.0, 0.43, 0.03), (0.045, 0.18, 0.05), top, tx.CLOTH, PERSON)
    arm.ellipsoid((0.0, 0.62, 0.06), (0.04, 0.07, 0.045), skin, tx.PLAIN, PERSON)
    return body.build(), leg.build(), leg.build(), arm.build(), arm.build()


def gait(swing: float) -> tuple[Float, ...]:
    """Person from part, (4, 4), of a person's parts with legs swung by `swing` radians."""
    legs = (pose(side * 0.09, -0.92, 0.0, 0.0, side * swing) for side in (-1.0, 1.0))
    arms = (
        pose(side * 0.25, -1.43, 0.0, 0.0, -side * 0.8 * swing, -side * 0.06)
        for side in (-1.0, 1.0)
    )
    return np.eye(4), *legs, *arms
