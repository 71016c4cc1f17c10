# SPDX-License-Identifier: Apache-2.0
"""What side_by_side.py compares, each in a process of its own: see worker.py."""
