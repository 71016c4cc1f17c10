# SPDX-License-Identifier: Apache-2.0
"""What ROS messages mean, without ROS: rclpy's objects and a bag's are read by the same code."""
