# SPDX-License-Identifier: Apache-2.0
"""Depth training: the model, its loss (blocks 106 to 108), and its validation."""
