# SPDX-License-Identifier: Apache-2.0
"""Blocks 104 and 105: the camera's motion between two frames, by one of three estimators."""
