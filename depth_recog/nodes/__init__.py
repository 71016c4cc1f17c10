# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes. Only this folder knows ROS; keep this file free of imports (see process.py)."""
