# SPDX-License-Identifier: Apache-2.0
"""Depth, pose and segmentation networks, their encoders and their weights."""
