# SPDX-License-Identifier: Apache-2.0
"""The named scenes and their content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """The content of a scene besides road, houses, trees, poles and sky.

    Attributes:
        about: description in one line.
        parked: whether cars are parked along the kerbs.
        oncoming: distance between oncoming cars in metres; 0 for none.
        lead: (mean, amplitude) of the gap to the car ahead in metres; (0, 0) for none.
        crossing: times at which cars from side roads cross the camera's lane, in seconds after the
            camera is 31 m before the crossroads; empty for none.
        people: whether there are people on pavements and pedestrian crossings.
        vans: whether all parked cars are vans, with few free spaces.
        stepping: whether people step out from between parked cars and cross the street.
        departures: whether cars pull out from the kerb ahead and oncoming cars stop.
        speed: the camera's mean speed, metres per second.
        bend: 1 for the curved street, 0 for a straight one.
        texture: whether the ground is textured.
        gain: whether the exposure changes from frame to frame.
    """

    about: str
    parked: bool = False
    oncoming: float = 0.0
    lead: tuple[float, float] = (0.0, 0.0)
    crossing: tuple[float, ...] = ()
    people: bool = False
    vans: bool = False
    stepping: bool = False
    departures: bool = False
    speed: float = 8.0
    bend: float = 1.0
    texture: bool = True
    gain: bool = False


_SCENES = {
    "street": Scene(
        "everything: parked, oncoming, leading and crossing cars, people",
        parked=True,
        oncoming=48.0,
        lead=(15.0, 3.0),
        crossing=(0.0,),
        people=True,
    ),
    "lead_car": Scene(
        "a straight street with one car ahead, going with the camera", lead=(11.0, 2.5), bend=0.0
    ),
    "crossing": Scene(
        "cars cross ahead at right angles, people walk",
        crossing=(-4.0, -2.2, 0.0, 1.0),
        people=True,
    ),
    "oncoming": Scene("parked and oncoming cars", parked=True, oncoming=30.0),
    "start_stop": Scene(
        "cars start from the kerb, oncoming cars stop",
        parked=True,
        departures=True,
        speed=5.0,
    ),
    "occlusion": Scene(
        "rows of parked vans, people behind them and stepping out from between them, cars that "
        "hide each other",
        parked=True,
        vans=True,
        oncoming=16.0,
        crossing=(-1.0, -0.4, 0.5, 1.1),
        people=True,
        stepping=True,
        speed=5.0,
    ),
    "parked": Scene("rows of parked cars, nothing moves but the camera", parked=True),
    "textureless": Scene("parked cars on a flat grey ground", parked=True, texture=False),
    "exposure": Scene(
        "the street, with a gain that changes from frame to frame",
        parked=True,
        oncoming=48.0,
        lead=(15.0, 3.0),
        gain=True,
    ),
    "still": Scene("the camera is at rest, one car passes", oncoming=130.0, speed=0.0),
    "empty": Scene("a street without vehicles and people"),
}

SCENES: dict[str, str] = {name: scene.about for name, scene in _SCENES.items()}
"""Name and one-line description of every scene."""


def scene(name: str) -> Scene:
    """The scene of that name. Raises KeyError for names that are not in `SCENES`."""
    return _SCENES[name]
