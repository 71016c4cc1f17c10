# SPDX-License-Identifier: Apache-2.0
"""The robot's motion from messages: which kind counts, and what is left out."""

import math
from types import SimpleNamespace as Message

import numpy as np
import pytest

from depth_recog.errors import SourceError
from depth_recog.interfaces.robot_motion import RobotMotion
from depth_recog.method.scale.motion import OdometryBuffer

SECOND = 10**9


def odometry(x: float, y: float = 0.0) -> Message:
    pose = Message(position=Message(x=x, y=y, z=0.0))
    twist = Message(twist=Message(linear=Message(x=1.0, y=0.0, z=0.0)))
    return Message(pose=Message(pose=pose), twist=twist)


def speed(value: float) -> Message:
    return Message(twist=Message(linear=Message(x=value, y=0.0, z=0.0)))


def fix(latitude: float, longitude: float, variance: float = 4.0, status: int = 0) -> Message:
    return Message(
        latitude=latitude,
        longitude=longitude,
        altitude=math.nan,
        status=Message(status=status),
        position_covariance=[variance] + [0.0] * 8,
        position_covariance_type=2,
    )


def filled(*given: tuple[float, Message]) -> OdometryBuffer:
    buffer = OdometryBuffer()
    motion = RobotMotion(buffer)
    for seconds, message in given:
        motion.add(round(seconds * SECOND), message)
    return buffer


def length(buffer: OdometryBuffer, start: float, end: float) -> float:
    a, b = (buffer.at(round(seconds * SECOND)) for seconds in (start, end))
    assert a is not None
    assert b is not None
    return float(np.linalg.norm(b - a))


def test_odometry_gives_positions() -> None:
    buffer = filled((0, odometry(1)), (0.4, odometry(1, 2)))
    assert length(buffer, 0.1, 0.3) == pytest.approx(1)


def test_speeds_are_integrated() -> None:
    buffer = filled(*((0.1 * i, speed(2)) for i in range(11)), (1.05, speed(math.nan)))
    assert length(buffer, 0, 1) == pytest.approx(2)


def test_odometry_counts_before_speeds_and_speeds_before_fixes() -> None:
    both = [(0.1 * i, odometry(0.1 * i)) for i in range(5)]
    mixed = [(0, fix(49, 8)), (0.05, speed(9)), both[0]]
    mixed += [part for i in range(1, 5) for part in ((0.1 * i - 0.01, speed(9)), both[i])]
    buffer = filled(*mixed)
    assert length(buffer, 0, 0.4) == pytest.approx(0.4)
    assert buffer.position_std < 0.1


def test_what_is_silent_counts_no_longer() -> None:
    """A robot whose odometry has ended still has its speed, until the odometry returns."""
    speeds = [(0.1 * i, speed(9)) for i in range(1, 80)]
    mixed = [(0, odometry(0)), (0.05, odometry(0.1)), *speeds]
    buffer = filled(*mixed)
    assert length(buffer, 4, 5) == pytest.approx(9)
    assert buffer.at(2 * SECOND) is None
    again = filled(*mixed, (8, odometry(5)), (8.05, speed(9)), (8.4, odometry(6)))
    assert length(again, 8, 8.4) == pytest.approx(1)
    assert again.at(5 * SECOND) is None


def test_fixes_become_metres_with_the_receivers_deviation() -> None:
    """A minute of latitude is a nautical mile; one of longitude is shorter by the cosine."""
    step = 1 / 60 / 20
    given = ((0, fix(60, 8)), (1, fix(60 + step, 8)), (2, fix(60 + step, 8 + step)))
    buffer = filled(*given, (2.5, fix(0, 0, status=-1)))
    assert length(buffer, 0, 1) == pytest.approx(1852 / 20, rel=4e-3)
    assert length(buffer, 1, 2) == pytest.approx(926 / 20, rel=4e-3)
    assert buffer.position_std == pytest.approx(2)
    assert buffer.longest_gap_s > 1


def test_other_messages_are_refused() -> None:
    with pytest.raises(SourceError, match="NavSatFix"):
        filled((0, Message(data=3.0)))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e308, -1e10])
def test_odometry_that_no_robot_has_leaves_the_speeds(wrong: float) -> None:
    """A publisher of garbage does not silence those that count less."""
    speeds = [(0.1 * i, speed(2)) for i in range(11)]
    buffer = filled(
        speeds[0], (0.05, odometry(wrong)), *speeds[1:5], (0.45, odometry(wrong)), *speeds[5:]
    )
    assert length(buffer, 0, 1) == pytest.approx(2)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e308, 1e17, -200.0])
def test_a_speed_that_no_robot_has_is_left_out(wrong: float) -> None:
    """It would make the path so long that later metres are below its resolution."""
    speeds = [(0.1 * i, speed(2)) for i in range(11)]
    buffer = filled(*speeds[:5], (0.41, speed(wrong)), (0.42, speed(wrong)), *speeds[5:])
    assert length(buffer, 0, 1) == pytest.approx(2)


@pytest.mark.parametrize("jump", [100.0, -1e5, 1e8])
def test_no_distance_spans_a_jump(jump: float) -> None:
    before = [(0.1 * i, odometry(0.5 * i)) for i in range(5)]
    after = [(0.1 * i, odometry(0.5 * i + jump)) for i in range(5, 11)]
    buffer = filled(*before, *after)
    assert buffer.at(2 * SECOND // 10) is None
    assert length(buffer, 0.5, 1) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(200, 8), (-90.5, 8), (49, 181), (math.nan, 8), (49, math.inf)]
)
def test_a_fix_that_is_nowhere_on_earth_is_left_out(latitude: float, longitude: float) -> None:
    buffer = filled((0, fix(49, 8)), (0.5, fix(latitude, longitude)), (1, fix(49.0001, 8)))
    assert length(buffer, 0, 0.5) == pytest.approx(5.56, rel=0.01)


@pytest.mark.parametrize("first", [fix(0, 0), fix(89.99, 8)])
def test_a_wrong_first_fix_does_not_change_the_length_of_a_longitude(first: Message) -> None:
    """Receivers send latitude and longitude 0 before they know."""
    buffer = filled((0, first), (1, fix(60, 8)), (2, fix(60, 8.001)))
    assert length(buffer, 1, 2) == pytest.approx(55.66, rel=0.01)


def test_fixes_on_both_sides_of_the_date_line() -> None:
    buffer = filled((0, fix(60, 179.9995)), (1, fix(60, -179.9995)))
    assert length(buffer, 0, 1) == pytest.approx(55.66, rel=0.01)


@pytest.mark.parametrize("variance", [math.nan, math.inf, -4.0, 0.0, 1e308, 1e-300])
def test_a_variance_that_no_receiver_has(variance: float) -> None:
    buffer = filled((0, fix(60, 8, variance)), (1, fix(60.0001, 8, variance)))
    assert length(buffer, 0, 1) == pytest.approx(11.1, rel=0.01)
    assert buffer.position_std >= 0.01
