# SPDX-License-Identifier: Apache-2.0
"""Cityscapes video snippets."""
