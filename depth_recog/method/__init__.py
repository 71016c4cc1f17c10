# SPDX-License-Identifier: Apache-2.0
"""The method: what is computed from frames and pairs of frames. No I/O, no ROS, no networks.

`recognizer.py` has the order of the steps; start there.
"""
