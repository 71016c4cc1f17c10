# SPDX-License-Identifier: Apache-2.0
"""rosbag2's files: found, indexed and read without ROS, also where they are damaged."""
