# SPDX-License-Identifier: Apache-2.0
"""Cameras, rigid motions, projection, and the mapping from camera image to network input."""
