# SPDX-License-Identifier: Apache-2.0
"""Block 107: whether what could move does move."""
