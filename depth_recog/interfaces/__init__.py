# SPDX-License-Identifier: Apache-2.0
"""Contents of ROS messages without ROS: the same code reads the objects of rclpy and rosbags."""
