# SPDX-License-Identifier: Apache-2.0
"""Thresholds of the gate, found on a recording."""
