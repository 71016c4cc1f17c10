# SPDX-License-Identifier: Apache-2.0
"""Readers of image sequences: one per kind of source, all with one interface."""
