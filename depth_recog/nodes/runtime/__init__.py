# SPDX-License-Identifier: Apache-2.0
"""Lifecycle, parameters, QoS, threads and processes."""
