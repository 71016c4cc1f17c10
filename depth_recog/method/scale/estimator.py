# SPDX-License-Identifier: Apache-2.0
"""The scale of a stream, from the sources that the user chose."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.method.scale.agreement import SeenMotion
from depth_recog.method.scale.filter import (
    AFFINE_HALF_LIFE_S,
    AFFINE_RATE,
    HALF_LIFE_S,
    LEAST_SPAN_S,
    RATE,
    MeasurementFilter,
    SteadyFactor,
)
from depth_recog.method.scale.height import CameraMount, GroundPlane
from depth_recog.method.scale.measurement import Refusal, Scale, ScaleMeasurement, ScaleState
from depth_recog.method.scale.motion import NOT_YET, MotionComparison, OdometryBuffer

SCALE_MODES = ("none", "constant", "camera_height", "odometry", "auto")
"""No metres; a factor; from the camera's height; from odometry; from both, which must agree."""

KNOWN_TILT_STD = 2.0
"""Standard deviation of a pitch that the user or tf gives, degrees: vehicles nod."""
LARGEST_GAP = 0.3
"""Largest difference, in log, between the network's unit on the road and elsewhere, median of
`GAPS` frames. Beyond it no factor makes the depth metres."""
GAPS = 30
GAP_STD = 0.25
"""Standard deviation of the scale by that difference, as a share of it."""
FRAME_STD = 0.03
"""Standard deviation of log scale of a frame besides the fit's own: bumps, and the network."""
HEIGHT_SPAN_S = 4.0
"""Time that measurements of the camera's height span before the first lock: where the road bends,
their errors persist for some seconds."""
DISAGREEMENT = 0.08
"""Largest difference of the two sources, in log."""


@dataclass(frozen=True)
class ScaleSettings:
    """Where metres come from.

    Attributes:
        mode: one of `SCALE_MODES`.
        factor: metres per unit of the network, for the mode `constant`.
        mount: how the camera is mounted, for `camera_height` and `auto`; None while it is not
            known.

    Raises:
        ConfigurationError: the mode is unknown, or the factor is not positive.
    """

    mode: str = "none"
    factor: float = 1.0
    mount: CameraMount | None = None

    def __post_init__(self) -> None:
        if self.mode not in SCALE_MODES:
            raise ConfigurationError(
                f"scale mode {self.mode!r} is unknown: {', '.join(SCALE_MODES)}"
            )
        if not (self.factor > 0 and math.isfinite(self.factor)):
            raise ConfigurationError(f"scale factor {self.factor}: a positive number is needed")

    @property
    def measured(self) -> bool:
        """Whether the scale is measured, not given."""
        return self.mode not in ("none", "constant")

    @property
    def by_height(self) -> bool:
        """Whether the height of the camera is used."""
        return self.mode in ("camera_height", "auto") and self.mount is not None

    @property
    def by_odometry(self) -> bool:
        """Whether odometry is used."""
        return self.mode in ("odometry", "auto")


def chosen_scale(mode: str, factor: float, mount: tuple[float, float | None]) -> ScaleSettings:
    """The settings that a user's choices make, on the command line and in the nodes.

    Args:
        mode: one of `SCALE_MODES`.
        factor: metres per unit of the network; 0 if not given. With the mode `none` it alone means
            `constant`.
        mount: height of the camera, metres, 0 if not given; and its pitch below the horizon,
            degrees, None if not known.

    Raises:
        ConfigurationError: the choices contradict each other.
    """
    height, pitch = mount
    if mode == "none" and factor:
        mode = "constant"
    if mode == "constant" and not factor:
        raise ConfigurationError("scale constant needs a factor: metres per unit of the network")
    if mode != "constant" and factor:
        raise ConfigurationError(f"a factor is given, and scale {mode} measures it: leave one out")
    given = None
    if height:
        down, std = CameraMount.down, CameraMount.tilt_std
        if pitch is not None:
            radians = math.radians(pitch)
            down, std = (0.0, math.cos(radians), math.sin(radians)), KNOWN_TILT_STD
        given = CameraMount(height, down, std)
    return ScaleSettings(mode, factor or 1.0, given)


class ScaleEstimator:
    """Follows the scale of one depth network on one camera's stream.

    Args:
        settings: the sources.
        odometry: filled by the caller; needed for the modes `odometry` and `auto`.
        affine: whether the unit is handed on from frame to frame, and so drifts.
    """

    def __init__(
        self,
        settings: ScaleSettings,
        odometry: OdometryBuffer | None = None,
        affine: bool = False,
    ) -> None:
        self._settings, self._affine = settings, affine
        self._odometry = odometry if settings.by_odometry else None
        self.reset()

    def reset(self) -> None:
        """Start anew: another camera, or other weights."""
        half_life = AFFINE_HALF_LIFE_S if self._affine else HALF_LIFE_S
        self._by_height = MeasurementFilter("camera's height", HEIGHT_SPAN_S, half_life)
        self._by_motion = MeasurementFilter("odometry", LEAST_SPAN_S, half_life)
        self._motion_scale = Scale(state=ScaleState.ACQUIRING, why="no odometry yet")
        self._comparison = MotionComparison(self._odometry) if self._odometry is not None else None
        self._steady = SteadyFactor(AFFINE_RATE if self._affine else RATE)
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._longer: deque[float] = deque(maxlen=GAPS)
        self.scale = self._first()
        self.ground: GroundPlane | None = None

    def _first(self) -> Scale:
        settings = self._settings
        if settings.mode == "none":
            return Scale()
        if settings.mode == "constant":
            return Scale(settings.factor, 0.0, ScaleState.CONSTANT, "the factor was given")
        return Scale(state=ScaleState.ACQUIRING, why="no frame yet")

    def observe(
        self, stamp_ns: int, seen: SeenMotion | Refusal, log_path: float = math.nan
    ) -> Scale:
        """Update the scale with a frame, and return it.

        Args:
            stamp_ns: time of the frame, nanoseconds.
            seen: what it and an earlier frame show of the network's unit.
            log_path: length of the same motion in `moved`, in log; NaN if it is not known.
        """
        settings = self._settings
        if not settings.measured:
            return self.scale
        road = seen if isinstance(seen, Refusal) else seen.road
        self.ground = None
        if isinstance(seen, SeenMotion):
            if math.isfinite(seen.gap):
                self._gaps.append(seen.gap)
            if math.isfinite(log_path):
                self._longer.append(seen.log_length - log_path)
            if not isinstance(road, Refusal):
                distance = road.height * math.exp(seen.log_length)
                self.ground = GroundPlane(road.normal, distance)
        found = []
        if settings.by_height and settings.mount is not None:
            measured: ScaleMeasurement | Refusal
            if isinstance(road, Refusal) or self.ground is None:
                measured = road if isinstance(road, Refusal) else Refusal("no motion")
            else:
                std = math.hypot(FRAME_STD, road.std)
                log = math.log(settings.mount.height / self.ground.distance)
                measured = ScaleMeasurement(log, std)
            found.append(self._by_height.add(stamp_ns, measured))
        if self._comparison is not None:
            found.append(self._motion_scale)
        self.scale = self._steady.follow(stamp_ns, self._uniform(_together(found)))
        return self.scale

    def _uniform(self, scale: Scale) -> Scale:
        """The scale, less sure or not trusted where the image has more than one unit."""
        if not self._gaps or scale.state is not ScaleState.LOCKED:
            return scale
        gap = float(np.median(self._gaps))
        if abs(gap) > LARGEST_GAP:
            why = (
                f"the road is {math.exp(gap):.2f} times as far as the rest in the network's depth: "
                "no factor makes that metres; use weights that know such a camera"
            )
            return replace(scale, std=abs(gap), state=ScaleState.STALE, why=why)
        return replace(scale, std=math.hypot(scale.std, GAP_STD * gap))

    def moved(self, stamp_ns: int, position: NDArray[np.float64] | None) -> None:
        """Compare the camera's path with the odometry.

        Args:
            stamp_ns: time of the newest frame, nanoseconds.
            position: (3,) of the camera in the network's unit, in any fixed frame; None where the
                path was interrupted.
        """
        if self._comparison is None:
            return
        if position is None:
            self._comparison.reset()
            return
        longer = float(np.median(self._longer)) if self._longer else 0.0
        for then, result in self._comparison.add(stamp_ns, position):
            if result is NOT_YET and self._motion_scale.metric:
                continue  # the path began anew, which contradicts nothing
            if isinstance(result, ScaleMeasurement):
                # The static pose has the unit of the points that it rests on, not the image's.
                result = replace(result, log_scale=result.log_scale - longer)
            self._motion_scale = self._by_motion.add(then, result)


def _together(found: list[Scale]) -> Scale:
    """One scale from that of one or two sources."""
    if not found:
        return Scale(state=ScaleState.ACQUIRING, why="the camera's height is not known")
    trusted = [one for one in found if one.state is ScaleState.LOCKED]
    if not trusted:
        old = [one for one in found if one.state is ScaleState.STALE]
        return (old or found)[0]
    if len(trusted) == 1:
        return trusted[0]
    logs = np.log([one.factor for one in trusted])
    difference = float(logs[1] - logs[0])
    if abs(difference) > DISAGREEMENT:
        first, second = (one.factor for one in trusted)
        why = (
            f"camera height and odometry disagree: factors {first:.3f} and {second:.3f}; check "
            "the height, or the wheels' radius"
        )
        return Scale(math.sqrt(first * second), abs(difference), ScaleState.STALE, why)
    weights = np.array([one.std**-2 for one in trusted])
    factor = math.exp(float(logs @ weights / weights.sum()))
    why = f"camera height and odometry agree within {abs(difference):.1%}"
    return replace(trusted[0], factor=factor, std=float(weights.sum()) ** -0.5, why=why)
