# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags (rosbag2) without ROS: reading, also of damaged files, and writing."""
