# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: one reader per kind behind one protocol."""
