# SPDX-License-Identifier: Apache-2.0
"""What is computed on a pair of frames. No I/O, no ROS, no network's name."""
