# SPDX-License-Identifier: Apache-2.0
"""Encode compressedDepth, and read it back with an independent decoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="the outputs are ROS messages")

from compressed_depth_reader import decoded
from std_msgs.msg import Header

from depth_recog.nodes.io.compressed_depth import compressed_depth, quantisation

PROPERTY = settings(deadline=None, max_examples=60, derandomize=True, database=None)


@PROPERTY
@given(
    st.floats(0.05, 2.0),
    st.floats(5.0, 200.0),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40),
)
def test_depth_comes_back_within_half_a_step(
    nearest: float, farthest: float, shares: list[float]
) -> None:
    """One step of inverse depth is 1 / A, so one step of depth is z^2 / A."""
    metres = np.float32([nearest * (farthest / nearest) ** share for share in shares])
    depth = metres.clip(np.float32(nearest), np.float32(farthest))[None]
    got = decoded(compressed_depth(depth, "32FC1", nearest, farthest, Header()))
    a, _ = quantisation(nearest, farthest)
    # The 1e-6 covers the rounding of float32 in q and in the header's B.
    bound = depth.astype(float) ** 2 / a * (0.5 + 0.02) + 1e-6 * depth
    # Depth below a thousandth of the farthest depth saturates.
    served = depth >= farthest / 1000
    assert (np.abs(got - depth) <= bound)[served].all()


def test_the_error_that_the_docs_name() -> None:
    """Range 0.1 to 80 m (default): errors are 0.49 m at 80 m, 0.8 cm at 10 m, 0.08 mm at 1 m."""
    a, _ = quantisation(0.1, 80.0)
    assert [80**2 / a / 2, 10**2 / a / 2, 1 / a / 2] == pytest.approx(
        [0.488, 7.62e-3, 7.62e-5], rel=0.01
    )
    depth = np.linspace(0.1, 80, 4000, dtype=np.float32).reshape(50, 80)
    got = decoded(compressed_depth(depth, "32FC1", 0.1, 80.0, Header()))
    assert np.abs(got - depth).max() <= 0.495
    assert got.reshape(-1)[-1] == pytest.approx(80)


def test_no_depth_is_nan() -> None:
    depth = np.float32([[np.nan, np.inf, 1.0, 80.0, 0.1]])
    got = decoded(compressed_depth(depth, "32FC1", 0.1, 80.0, Header()))
    assert np.isnan(got[0, :2]).all()
    assert got[0, 2:] == pytest.approx([1.0, 80.0, 0.1], rel=1e-3)


def test_depth_too_near_for_16_bits_saturates() -> None:
    depth = np.float32([[0.0, 0.001, 0.08, 40.0]])
    got = decoded(compressed_depth(depth, "32FC1", 0.0, 80.0, Header()))
    assert got[0] == pytest.approx([0.08, 0.08, 0.08, 40.0], rel=0.01)


def test_16uc1_is_not_quantised() -> None:
    header = Header(frame_id="cam")
    header.stamp.sec = 3
    depth = np.float32([[0.1, 1.2351, 70.0, np.nan, np.inf, -np.inf]])
    message = compressed_depth(depth, "16UC1", 0.1, 80.0, header)
    assert message.format == "16UC1; compressedDepth png"
    assert message.header == header
    # 70 m exceeds 16 bits of millimetres.
    assert decoded(message).tolist() == [[100, 1235, 0, 0, 0, 0]]
