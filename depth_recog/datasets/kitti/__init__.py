# SPDX-License-Identifier: Apache-2.0
"""KITTI raw and KITTI odometry."""
