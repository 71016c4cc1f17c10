# SPDX-License-Identifier: Apache-2.0
"""Compares depth, poses and the gate with the truth; `evaluate.evaluate` is the entry point."""
