# SPDX-License-Identifier: Apache-2.0
"""Depth networks as Hugging Face directories."""
