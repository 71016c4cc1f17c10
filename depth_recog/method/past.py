# SPDX-License-Identifier: Apache-2.0
"""The earlier frames that the object gate compares the newest one with."""

from __future__ import annotations

from depth_recog.method.gate.by_object import GAPS_S, Past
from depth_recog.method.geometry import se3
from depth_recog.method.observation import Observation
from depth_recog.method.pair import pose_for_gate
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.tracking.partner import PartnerBuffer


def past_of(
    buffer: PartnerBuffer[Observation],
    partner: Observation,
    frame: Observation,
    static: PoseEstimate,
    fits: bool,
) -> list[Past]:
    """Choose frames at the distances `GAPS_S`, and estimate the motion since each.

    Args:
        buffer: the earlier frames.
        partner: the one that the newest is compared with.
        frame: the newest.
        static: the camera's motion from `partner` to `frame`.
        fits: whether the gate can use `static`: by pnp, in the unit of the gate's depth.
    """
    seconds = (frame.stamp_ns - partner.stamp_ns) / 1e9
    chosen = {partner.stamp_ns: partner}
    for gap in GAPS_S:
        earlier = buffer.before(frame.stamp_ns, gap) or partner
        chosen.setdefault(earlier.stamp_ns, earlier)
    past = []
    motion = se3.log_twist(static.T_second_from_first) / seconds if static.ok else None
    for stamp_ns, earlier in sorted(chosen.items(), reverse=True):
        if earlier is partner and fits:
            past.append(Past(earlier, static))
        elif earlier.tracks is not None:
            guess = None
            if motion is not None:
                guess = se3.exp_twist(motion * ((frame.stamp_ns - stamp_ns) / 1e9))
            past.append(Past(earlier, pose_for_gate(earlier, frame, guess)))
    return past
