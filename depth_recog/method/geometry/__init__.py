# SPDX-License-Identifier: Apache-2.0
"""Cameras, rigid motions, projection, and the way from the camera's image to the network's."""
