# SPDX-License-Identifier: Apache-2.0
"""Depth from one camera for robots that share the road with moving objects."""

__version__ = "0.1.0"
